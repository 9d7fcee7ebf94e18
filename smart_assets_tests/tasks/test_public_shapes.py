"""Rows in the shapes of public datasets: what each is read as, and what must not be read as something else."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from smart_assets.core.stored_chat import parse_stored
from smart_assets.tasks import reasons
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.likely_columns import proposal
from smart_assets.tasks.raw_rows import RowError
from smart_assets.tasks.read_result import NoRowsError
from smart_assets.tasks.reader import read_source
from smart_assets_tests.support.read_rows import read_row

Row = dict[str, Any]
HI, HELLO = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
LATER = {"role": "assistant", "content": "later"}
CALL = {"name": "look", "arguments": {"at": "sky"}}
TOOL = {"name": "look", "description": "d", "parameters": {"at": {"type": "str"}}}
PLAY = "\n\nHuman: a play\n\nAssistant: Assistant: a\nHuman: b\n\nHuman: more\n\nAssistant: end"


@pytest.mark.parametrize(
    ("row", "turns", "response"),
    [
        pytest.param({"conversations": ["a", "b", "c", "d"]}, ["user: a", "assistant: b", "user: c"], "d", id="LIMA"),
        pytest.param(
            {"conversation": [{"input": "a", "output": "b"}, {"input": "c", "output": "d"}]},
            ["user: a", "assistant: b", "user: c"],
            "d",
            id="Capybara",
        ),
        pytest.param(
            {"history": [["a", "b"]], "prompt": "c", "response": "d"},
            ["user: a", "assistant: b", "user: c"],
            "d",
            id="ChatGLM",
        ),
        pytest.param(
            {"history": [["a", "b"]], "query": "c", "response": "d"},
            ["user: a", "assistant: b", "user: c"],
            "d",
            id="ms-swift",
        ),
        pytest.param(
            {"messages": [{"role": "System", "content": "s"}, HI, {"role": "Chatbot", "content": "d"}]},
            ["system: s", "user: hi"],
            "d",
            id="Cohere",
        ),
        pytest.param(
            {"system_prompt": "s", "messages": [{"role": "system", "content": " "}, HI, HELLO]},
            ["system: s", "user: hi"],
            "hello",
            id="blank system turn",
        ),
        pytest.param(
            {"system_message": "s", "prompt": "hi", "response": "d"}, ["system: s", "user: hi"], "d", id="message"
        ),
        pytest.param(
            {"chosen": PLAY, "rejected": "x"},
            ["user: a play", "assistant: Assistant: a\nHuman: b", "user: more"],
            "end",
            id="names inside of what is said",
        ),
        pytest.param(
            {"chat": "USER: a\nASSISTANT: b\nUSER: c\nASSISTANT: d"},
            ["user: a", "assistant: b", "user: c"],
            "d",
            id="no blank lines",
        ),
    ],
)
def test_chats_have_their_turns(row: Row, turns: list[str], response: str) -> None:
    instance, _, unread = read_row(row)
    assert instance.messages is not None
    assert [f"{turn['role']}: {turn['content']}" for turn in parse_stored(instance.messages).turns] == turns
    assert (instance.response, unread - {"rejected"}) == (response, set())


@pytest.mark.parametrize(
    ("row", "layout", "prompt"),
    [
        pytest.param({"query": "p", "response": "r"}, "query and response", "p", id="MetaMath"),
        pytest.param({"question": "p", "response": "r"}, "question and response", "p", id="question"),
        pytest.param({"question": "p", "context": "c", "response": "r"}, "question and response", "p\n\nc", id="with"),
        pytest.param({"instruction": "i", "question": "q", "answer": "r"}, "Alpaca", "i\n\nq", id="question"),
        pytest.param({"input": "q", "context": "c", "output": "r"}, "input and output", "q\n\nc", id="context"),
        pytest.param({"inputs": "q", "context": "c", "targets": "r"}, "FLAN", "q\n\nc", id="FLAN's context"),
        pytest.param(
            {"conversations": [{"role": "user", "text": "p"}, {"role": "bot", "text": "r"}]}, None, "p", id="t"
        ),
        pytest.param(
            {"messages": [{**HI, "content": "p"}, {**HELLO, "content": "r"}], "kto_tag": True}, None, "p", id="k"
        ),
        pytest.param({"prompt": "p", "completion": "r", "label": "True"}, None, "p", id="label in CSV"),
    ],
)
def test_rows_of_other_names_are_read(row: Row, layout: str | None, prompt: str) -> None:
    instance, name, unread = read_row(row)
    assert (instance.prompt, instance.response, instance.messages, unread) == (prompt, "r", None, set())
    assert layout in (None, name)


def test_calls_are_the_response_of_xlam() -> None:
    row = {"query": "hi", "answers": json.dumps([CALL]), "tools": json.dumps([TOOL])}
    instance, layout, unread = read_row(row)
    chat = parse_stored(instance.messages or "")
    called = {"type": "function", "function": CALL}
    assert (layout, unread, chat.turns) == ("xLAM function calling", set(), [HI])
    assert (chat.tool_calls, chat.tools) == ([called], [{"type": "function", "function": TOOL}])
    assert json.loads(instance.response) == [called]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"query": "q", "answers": "[]", "tools": "[]"}, "response is missing", id="no call"),
        pytest.param({"query": "q", "answers": "blue", "tools": "[]"}, reasons.BAD_TOOLS, id="an answer in words"),
        pytest.param({"prompt": "p", "completion": "r", "label": "False"}, reasons.NOT_LIKED, id="label in CSV"),
        pytest.param({"messages": [HI, HELLO], "kto_tag": False}, reasons.NOT_LIKED, id="kto_tag"),
        pytest.param({"instruction": "i", "output": "r", "kto_tag": False}, reasons.NOT_LIKED, id="Alpaca, kto_tag"),
        pytest.param({"conversations": ["only a question"]}, reasons.NO_ASSISTANT, id="LIMA's test rows"),
        pytest.param({"instruction": "Classify", "text": "good", "output": "r"}, reasons.SECOND_PROMPT, id="text"),
        pytest.param({"instruction": "be brief", "prompt": "p", "output": "r"}, reasons.SECOND_PROMPT, id="prompt"),
        pytest.param({"messages": [HI, {**HELLO, "training": False}]}, reasons.NOT_LEARNT, id="training"),
        pytest.param(
            {"message_tree_id": "t", "prompt": {"text": "q", "role": "prompter", "deleted": True, "replies": []}},
            reasons.DELETED,
            id="a deleted tree",
        ),
        pytest.param({"messages": ["hi", HELLO]}, reasons.BAD_TURN, id="a text among turns"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(row: Row, reason: str) -> None:
    with pytest.raises(RowError, match=f"^{reason}$"):
        read_row(row)


def test_a_column_that_repeats_the_prompt_is_no_part_of_it() -> None:
    row = {"instruction": "Classify ", "output": "r", "text": "### Instruction:\nClassify\n### Response:\nr"}
    assert read_row(row)[0].prompt == "Classify "
    assert read_row({**row, "input": "x", "text": "y"})[0].prompt == "Classify \n\nx"
    assert read_row({**row, "text": "y"}, prompt=["instruction", "text"])[0].prompt == "Classify \n\ny"


@pytest.mark.parametrize(
    "weight",
    [{"weight": 0.0}, {"weight": "0"}, {"weight": False}, {"train": False}, {"training": "false"}, {"loss": False}],
)
def test_a_turn_that_says_so_in_any_way_is_not_learnt(weight: Row) -> None:
    instance, _, unread = read_row({"messages": [HI, HELLO, HI, {**LATER, **weight}]})
    assert (instance.response, unread) == ("hello", {"after the response"})


@pytest.mark.parametrize("weight", [{"weight": 0.5}, {"loss": 0.25}, {"train": "perhaps"}])
def test_a_weight_that_is_none_is_named(weight: Row) -> None:
    instance, _, unread = read_row({"messages": [HI, {**HELLO, **weight}]})
    assert (instance.response, unread) == ("hello", {*weight})


def test_of_two_keys_for_the_same_the_second_is_named() -> None:
    turns = [{**HI, "from": "human", "value": "other"}, {**HELLO, "value": "hello", "text": "x"}]
    instance, _, unread = read_row({"messages": turns})
    assert (instance.prompt, instance.response) == ("hi", "hello")
    assert unread == {"from", "value", "text"}


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        pytest.param(["question", "answer"], "{prompt: question, response: answer}", id="GSM8K"),
        pytest.param(["id", "Question", "Answer"], "{prompt: Question, response: Answer}", id="capitals"),
        pytest.param(
            [" prompt", "it's response ", "Response "], "{prompt: ' prompt', response: 'Response '}", id="spaces"
        ),
        pytest.param(["question", "choices", "answer"], "{prompt: [question, choices], response: answer}", id="MMLU"),
        pytest.param(["passage", "question", "answer"], "{prompt: [question, passage], response: answer}", id="BoolQ"),
        pytest.param(["document", "summary"], "{prompt: document, response: summary}", id="XSum"),
        pytest.param(["text"], "", id="a text alone"),
        pytest.param(["premise", "hypothesis", "label"], "", id="NLI"),
    ],
)
def test_settings_that_may_be_meant_are_proposed(names: list[str], columns: str) -> None:
    assert proposal(names) == (columns and f" Perhaps `columns: {columns}` is meant.")
    if columns:
        yaml.safe_load(columns)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_columns_that_are_set_and_that_no_row_has_are_named(tmp_path: Path, name: str) -> None:
    log: list[str] = []
    text = "instruction,input,output\ni,x,r" if name == "a.csv" else '{"instruction": "i", "input": "x", "output": "r"}'
    (tmp_path / name).write_text(text)
    source = FolderSource.model_validate(
        {"path": str(tmp_path), "columns": {"response": "output", "template": "styel"}}
    )
    read_source(source, tmp_path, log.append)
    assert [line for line in log if "no row has" in line] == [
        f"source {tmp_path}: the settings name columns that no row has: `styel`"
    ]


def test_nothing_is_proposed_where_the_columns_are_known(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "p", "response": ""}))
    with pytest.raises(NoRowsError, match=r"repair the rows\.$"):
        read_source(FolderSource(path=str(tmp_path)), tmp_path, lambda _: None)


def test_the_log_and_the_error_propose_settings(tmp_path: Path) -> None:
    log: list[str] = []
    (tmp_path / "gsm.jsonl").write_text(json.dumps({"question": "q", "answer": "a"}))
    with pytest.raises(
        NoRowsError, match=r"repair the rows\. Perhaps `columns: \{prompt: question, response: answer\}`"
    ):
        read_source(FolderSource(path=str(tmp_path)), tmp_path, log.append)
    assert any("1 row of gsm.jsonl; perhaps `columns: {prompt: question" in line for line in log)


@pytest.mark.parametrize("prompt", ["hi", json.dumps([HI]), json.dumps([{"from": "human", "value": "hi"}])])
def test_turns_that_are_json_are_no_text_to_be_preferred(prompt: str) -> None:
    plain = read_row({"prompt": "hi", "response": "hello"})[0]
    for chosen in ([HELLO], [HI, HELLO]):
        pair = {"prompt": prompt, "chosen": json.dumps(chosen), "rejected": json.dumps([LATER])}
        assert read_row(pair)[0] == plain
    with pytest.raises(RowError, match=f"^{reasons.PYTHON_CHAT}$"):
        read_row({"prompt": prompt, "chosen": str([HI, HELLO]), "rejected": "x"})


@pytest.mark.parametrize("column", ["prompt", "response"])
@pytest.mark.parametrize("text", [json.dumps([HI]), str([HELLO]), str([{"from": "human", "value": "hi"}])])
def test_turns_that_stand_as_a_text_are_a_text_and_named(column: str, text: str) -> None:
    instance, _, unread = read_row({"prompt": "p", "response": "r", column: text})
    assert (getattr(instance, column), instance.messages) == (text, None)
    assert unread == {"that stand as a text in prompt or response"}


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}]',
        '[{"role": "king", "content": "x"}]',
        '[{"role": "user"}]',
        "[{",
        "[]",
        '[{"role": "user", "content"',
        "[{'a': 1}]",
    ],
)
def test_other_json_is_a_text(text: str) -> None:
    for row in ({"prompt": text, "response": text}, {"prompt": text, "chosen": text, "rejected": "x"}):
        instance, _, unread = read_row(row)
        assert (instance.prompt, instance.response, unread - {"rejected"}) == (text, text, set())


def test_a_chat_as_python_writes_it_is_refused() -> None:
    with pytest.raises(RowError, match=f"^{reasons.PYTHON_CHAT}$"):
        read_row({"messages": str([HI, HELLO])})


def test_media_and_history_may_be_json() -> None:
    row = {"prompt": "c", "response": "d", "images": "[]", "history": '[["a", "b"]]'}
    assert read_row(row)[0].prompt == "user: a\nassistant: b\nuser: c"
    with pytest.raises(RowError, match=reasons.medium("images")):
        read_row({**row, "images": '["x.png"]'})
