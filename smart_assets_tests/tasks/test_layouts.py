"""The shapes of rows that people have: what each is read as, what of it is not read, and what is refused."""

import json
from typing import Any

import pytest

from smart_assets.core.stored_chat import StoredChat, parse_stored
from smart_assets.tasks import reasons
from smart_assets.tasks.layouts import LAYOUTS
from smart_assets.tasks.raw_rows import RowError
from smart_assets.tasks.rows import AcceptedRow, content_hash
from smart_assets_tests.support.read_rows import read_row

Row = dict[str, Any]
HI, HELLO = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
BRIEF = {"role": "system", "content": "be brief"}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}
CALL_AS_TEXT = {"type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
BEFORE = '[{"content":"be brief","role":"system"},{"content":"hi","role":"user"}]'
PICTURE = {"type": "image_url", "image_url": {"url": "x.png"}}


def stored(instance: AcceptedRow) -> StoredChat:
    assert instance.messages is not None
    return parse_stored(instance.messages)


@pytest.mark.parametrize(
    ("row", "layout", "prompt"),
    [
        pytest.param({"instruction": "i", "input": "x", "output": "r"}, "Alpaca", "i\n\nx", id="Alpaca"),
        pytest.param({"instruction": "i", "input": "", "output": "r"}, "Alpaca", "i", id="no input"),
        pytest.param({"instruction": "i", "input": None, "output": "r"}, "Alpaca", "i", id="null input"),
        pytest.param({"instruction": "i", "input": " \n", "output": "r"}, "Alpaca", "i", id="blank input"),
        pytest.param({"instruction": "i", "output": "r"}, "Alpaca", "i", id="instruction alone"),
        pytest.param({"instruction": "i", "context": "c", "response": "r"}, "Alpaca", "i\n\nc", id="Dolly"),
        pytest.param({"instruction": "i", "query": "q", "output": "r"}, "Alpaca", "i\n\nq", id="query"),
        pytest.param({"instruction": "i", "passage": "p", "answer": "r"}, "Alpaca", "i\n\np", id="passage"),
        pytest.param(
            {"instruction": "i", "input": "x", "context": "c", "completion": "r"}, "Alpaca", "i\n\nx\n\nc", id="both"
        ),
        pytest.param({"prompt": "p", "response": "r"}, "prompt and response", "p", id="prompt and response"),
        pytest.param({"prompt": "p", "target": "r"}, "prompt and response", "p", id="prompt and target"),
        pytest.param({"prompt": "p", "input": "x", "response": "r"}, "prompt and response", "p\n\nx", id="T0"),
        pytest.param({"prompt": "p", "completion": "r"}, "TRL prompt and completion", "p", id="TRL"),
        pytest.param({"prompt": "p", "completion": "r", "label": True}, "TRL unpaired preference", "p", id="KTO"),
        pytest.param({"prompt": [HI], "completion": [{**HELLO, "content": "r"}]}, None, "hi", id="TRL's lists"),
        pytest.param({"prompt": "p", "output": "r"}, "prompt and output", "p", id="prompt and output"),
        pytest.param({"inputs": "p", "targets": "r"}, "FLAN", "p", id="FLAN"),
        pytest.param({"inputs": "p", "response": "r"}, "FLAN", "p", id="inputs and response"),
        pytest.param({"input": "p", "target": "r"}, "BIG-Bench Hard", "p", id="BIG-Bench Hard"),
        pytest.param({"input": "p", "output": "r"}, "input and output", "p", id="input and output"),
        pytest.param(
            {"inputs": [1], "targets": [2], "inputs_pretokenized": "p", "targets_pretokenized": "r"}, "P3", "p", id="P3"
        ),
        pytest.param(
            {"definition": "d", "inputs": "x", "targets": "r"}, "Super-NaturalInstructions", "d\n\nx", id="flat NI"
        ),
        pytest.param(
            {"definition": ["d", "e"], "input": "x", "output": ["r", "s"]},
            "Super-NaturalInstructions",
            "d\ne\n\nx",
            id="NI",
        ),
        pytest.param({"prompt": "p", "chosen": "r", "rejected": "b"}, None, "p", id="pairs of texts"),
        pytest.param({"question": "p", "chosen": "r", "rejected": "b"}, None, "p", id="question and pairs"),
        pytest.param({"instruction": "i", "input": "x", "chosen": "r", "rejected": "b"}, None, "i\n\nx", id="DPO"),
        pytest.param(
            {"chosen": "\n\nHuman: p\n\nAssistant: r", "rejected": "\n\nHuman: p\n\nAssistant: b"}, None, "p", id="HH"
        ),
        pytest.param(
            {"prompt": "hi", "chosen": [HI, {**HELLO, "content": "r"}], "rejected": [HI, HELLO]},
            None,
            "hi",
            id="whole chats",
        ),
        pytest.param(
            {
                "conversations": [{"from": "human", "value": "p"}],
                "chosen": {"from": "gpt", "value": "r"},
                "rejected": {"from": "gpt", "value": "b"},
            },
            None,
            "p",
            id="a chat and one turn",
        ),
        pytest.param({"messages": [HI], "response": "r"}, "chat beside a response", "hi", id="beside a response"),
        pytest.param({"messages": [HI, {**HELLO, "content": "r"}]}, "OpenAI messages", "hi", id="messages"),
        pytest.param(
            {"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": "r"}]},
            "ShareGPT",
            "p",
            id="ShareGPT",
        ),
        pytest.param({"chat": "USER: p\n\n\nASSISTANT: r <|endoftext|>"}, None, "p", id="Glaive"),
        pytest.param(
            {"message_tree_id": "t", "prompt": {"role": "prompter", "text": "p", "replies": [
                {"role": "assistant", "text": "worse", "rank": 1}, {"role": "assistant", "text": "r", "rank": 0},
            ]}},
            "OpenAssistant (best-ranked path)",
            "p",
            id="OpenAssistant",
        ),
    ],
)  # fmt: skip
def test_a_layout_is_known_by_its_columns(row: Row, layout: str | None, prompt: str) -> None:
    instance, name, _ = read_row(row)
    assert (instance.prompt, instance.response, instance.messages) == (prompt, "r", None)
    assert layout in (None, name)


def test_every_layout_fits_its_own_columns() -> None:
    for layout in LAYOUTS:
        names = {*layout.prompt, *layout.needs, *layout.responses[:1], *layout.chats[:1]}
        assert layout.fits(names)
        assert not any(layout.fits(names - {name}) for name in (*layout.prompt, *layout.needs))


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        pytest.param(
            {"instruction": "hi", "output": "r", "system": "be brief", "history": [["a", "b"]]},
            ["system: be brief", "user: a", "assistant: b", "user: hi"],
            id="Alpaca's system and history",
        ),
        pytest.param(
            {"system_prompt": "be brief", "question": "hi", "response": "r"},
            ["system: be brief", "user: hi"],
            id="OpenOrca",
        ),
        pytest.param({"system": "be brief", "messages": [HI, HELLO]}, ["system: be brief", "user: hi"], id="beside"),
        pytest.param({"prompt": [BRIEF, HI], "completion": [HELLO]}, ["system: be brief", "user: hi"], id="TRL"),
        pytest.param({"messages": [HI, HELLO], "response": "r"}, ["user: hi", "assistant: hello"], id="whole chat"),
        pytest.param(
            {"chosen": [BRIEF, HI, HELLO], "rejected": [HI, HELLO]}, ["system: be brief", "user: hi"], id="chosen"
        ),
        pytest.param(
            {"system": "SYSTEM: be brief", "chat": "USER: hi\n\n\nASSISTANT: r"},
            ["system: be brief", "user: hi"],
            id="Glaive",
        ),
        pytest.param(
            {"prompt": "hi", "response": "hello", "messages": json.dumps([BRIEF, HI])},
            ["system: be brief", "user: hi"],
            id="turns before the response, as an export had them",
        ),
        pytest.param(
            {"messages": [{"role": "Human", "content": "a"}, {"role": "GPT", "content": "b"}, HI, HELLO]},
            ["user: a", "assistant: b", "user: hi"],
            id="roles in any case",
        ),
        pytest.param(
            {"messages": {"role": ["system", "user", "assistant"], "content": ["be brief", "hi", "hello"]}},
            ["system: be brief", "user: hi"],
            id="an object of lists",
        ),
    ],
)
def test_turns_are_put_together(row: Row, turns: list[str]) -> None:
    instance, _, _ = read_row(row)
    assert [f"{turn['role']}: {turn['content']}" for turn in stored(instance).turns] == turns


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([{"type": "text", "text": "h"}, {"type": "text", "text": "i"}], id="text parts"),
        pytest.param(["h", "i"], id="texts"),
        pytest.param([{"type": "input_text", "text": "hi"}], id="input_text"),
        pytest.param([{"type": "text", "text": "hi", "image_url": None}], id="null picture, as Parquet has it"),
    ],
)
def test_content_may_be_parts(content: Any) -> None:
    for row in ({"messages": [{"role": "user", "content": content}, HELLO]},):
        assert read_row(row)[0].prompt == "hi"
        assert read_row({"messages": json.dumps(row["messages"])})[0] == read_row(row)[0]


def test_a_turn_of_weight_0_is_not_learnt() -> None:
    bad = {"role": "assistant", "content": "BAD", "weight": 0}
    instance, _, unread = read_row({"messages": [HI, HELLO, HI, bad]})
    assert (instance.prompt, instance.response, unread) == ("hi", "hello", {"after the response"})
    with pytest.raises(RowError, match=f"^{reasons.NOT_LEARNT}$"):
        read_row({"messages": [HI, bad]})
    assert read_row({"messages": [HI, {**HELLO, "weight": 1}]})[0].messages is None


def test_names_of_turns_are_kept() -> None:
    instance, _, unread = read_row({"messages": [{**HI, "name": "ada"}, {**HELLO, "name": "bot"}]})
    assert stored(instance).turns == [{**HI, "name": "ada"}]
    assert unread == {"name of the response"}


@pytest.mark.parametrize(
    "call",
    [
        pytest.param({"role": "assistant", "content": None, "tool_calls": [CALL]}, id="OpenAI"),
        pytest.param({"role": "assistant", "content": None, "tool_calls": [CALL_AS_TEXT]}, id="arguments as JSON"),
        pytest.param({"role": "assistant", "content": "", "tool_calls": json.dumps([CALL])}, id="calls as JSON"),
        pytest.param({"from": "function_call", "value": json.dumps(CALL["function"])}, id="ShareGPT"),
        pytest.param({"role": "assistant", "content": None, "function_call": CALL["function"]}, id="function_call"),
    ],
)
def test_calls_of_tools_are_kept(call: Row) -> None:
    answered = {"from": "observation", "value": "blue"}
    instance, _, _ = read_row({"conversations": [HI, call, answered, HELLO], "tools": json.dumps([TOOL["function"]])})
    chat = stored(instance)
    assert chat.turns[1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert chat.turns[2]["role"] == "tool"
    assert (chat.tools, chat.tool_calls) == ([TOOL], None)
    assert "look" in instance.prompt
    response, _, _ = read_row({"messages": [HI, call], "tools": [TOOL]})
    last = stored(response)
    assert (last.tool_calls, last.said_by(response.response)) == ([CALL], "")
    assert json.loads(response.response) == [CALL]


def test_tools_and_calls_make_another_row() -> None:
    plain = read_row({"messages": [HI, HELLO]})[0]
    tools = [read_row({"messages": [HI, HELLO], "tools": [{**TOOL, "function": {"name": name}}]})[0] for name in "ab"]
    called = read_row({"messages": [HI, {**HELLO, "tool_calls": [CALL]}]})[0]
    assert len({row.id for row in (plain, *tools, called)}) == 4
    assert read_row({"messages": [HI, HELLO], "tools": "[]"})[0] == plain


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"messages": [HI, HELLO], "images": ["x.png"]}, reasons.medium("images"), id="images"),
        pytest.param({"prompt": "p", "response": "r", "audio": {"path": "x"}}, reasons.medium("audio"), id="audio"),
        pytest.param({"prompt": "p", "response": "r", "video": "x.mp4"}, reasons.medium("video"), id="video"),
        pytest.param(
            {"messages": [{"role": "user", "content": [PICTURE]}, HELLO]}, reasons.medium("images"), id="image part"
        ),
        pytest.param({"messages": [{**HI, "images": ["x"]}, HELLO]}, reasons.medium("images"), id="image in a turn"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "refusal"}]}, HELLO]}, reasons.BAD_PART, id="odd part"
        ),
        pytest.param({"messages": [{"role": "user", "content": None}, HELLO]}, reasons.BAD_TURN, id="null content"),
        pytest.param(
            {"conversations": [HI, {"from": "function_call", "value": "{}"}, HELLO]}, reasons.BAD_TOOLS, id="no call"
        ),
        pytest.param({"messages": [HI, HELLO], "tools": "hammer"}, reasons.BAD_TOOLS, id="tools that are none"),
        pytest.param({"inputs": [1, 2], "targets": [3]}, reasons.TOKENS, id="token ids"),
        pytest.param({"input_ids": [1, 2], "labels": [3]}, reasons.TOKENS, id="tokenized"),
        pytest.param({"prompt": "p", "completion": "r", "label": False}, reasons.NOT_LIKED, id="undesirable"),
        pytest.param({"text": "once upon a time"}, reasons.TEXT_ALONE, id="pretraining"),
        pytest.param({"instruction": "i", "output": "r", "history": ["x"]}, reasons.BAD_HISTORY, id="odd history"),
        pytest.param(
            {"instruction": "i", "input": 5, "output": "r"}, "prompt has the wrong type: a number", id="input"
        ),
        pytest.param({"prompt": None, "response": "r", "input": "x"}, "prompt is missing", id="null is no other"),
        pytest.param({"instruction": " ", "input": "x", "output": "r"}, "prompt is empty", id="input alone"),
        pytest.param({"chosen": "r", "rejected": "b"}, "prompt is missing", id="no prompt"),
        pytest.param({"question": "q", "answer": "a"}, "prompt is missing", id="no layout"),
        *(
            pytest.param({"prompt": "p", "response": text}, "response is empty", id=f"{text!a}")
            for text in ("\u200b", "\ufeff", "</s>", "<|im_end|>", " <|endoftext|>\n", "<end_of_turn>")
        ),
    ],
)
def test_what_cannot_be_read_is_refused(row: Row, reason: str) -> None:
    with pytest.raises(RowError, match=f"^{reason}$"):
        read_row(row)


@pytest.mark.parametrize(
    ("row", "unread"),
    [
        pytest.param({"prompt": "p", "response": "r", "author": "a"}, {"author"}, id="column"),
        pytest.param({"prompt": "p", "chosen": "r", "rejected": "b"}, {"rejected"}, id="rejected"),
        pytest.param({"instruction": "i", "input": [5], "output": "r"}, {"input"}, id="input that is no text"),
        pytest.param({"prompt": "p", "response": "r", "history": "x"}, {"history"}, id="history that is a text"),
        pytest.param({"prompt": "p", "response": "r", "tools": "hammer"}, {"tools"}, id="tools that are none"),
        pytest.param({"messages": [{**HI, "loss": False}, HELLO]}, {"loss"}, id="key of a turn"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache": 1}]}, HELLO]},
            {"cache"},
            id="key of a part",
        ),
        pytest.param({"system": "x", "messages": [BRIEF, HI, HELLO]}, {"system"}, id="two systems"),
        pytest.param(
            {"prompt": "p", "response": "r", "messages": [HI, HELLO]}, {"messages"}, id="a chat of something else"
        ),
        pytest.param(
            {"definition": "d", "input": "x", "output": ["r", "s"]}, {"output, all but the first"}, id="more responses"
        ),
        pytest.param({"prompt": "p", "response": "r", "template": None, "template_type": "t"}, set[str](), id="read"),
    ],
)
def test_what_is_not_read_is_named(row: Row, unread: set[str]) -> None:
    assert read_row(row)[2] == unread


def test_ids_are_what_they_were() -> None:
    """Of shapes that were read before there were layouts."""
    rows = [
        ({"prompt": "p", "response": "r"}, ("p", "r")),
        ({"inputs": "p", "targets": "r", "task_name": "t"}, ("p", "r")),
        ({"input": "p", "target": "r"}, ("p", "r")),
        ({"messages": [HI, HELLO]}, ("hi", "hello")),
        ({"messages": [BRIEF, HI, HELLO]}, ("hi", "hello", BEFORE)),
    ]  # fmt: skip
    for row, parts in rows:
        assert read_row(row)[0].id == content_hash("task", *parts)
