import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.tasks import reasons
from smart_assets.tasks.raw_rows import RowError
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.rows import AcceptedRow, content_hash, instance_of, task_of
from smart_assets.tasks.source_kind import Columns
from smart_assets.tasks.unread import UnreadValues

NAMES = FieldNames(Columns())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "be brief"}


def instance(row: dict[str, Any], names: FieldNames = NAMES) -> AcceptedRow:
    return instance_of(row, names.shape(tuple(row)), "task", UnreadValues())


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        pytest.param({"prompt": "p", "response": "r", "template": "t"}, ("p", "r", "t"), id="own names"),
        pytest.param({"inputs": "p", "targets": "r", "template_type": "zs"}, ("p", "r", "zs"), id="FLAN"),
        pytest.param({"inputs": "p", "targets": "r", "_template_type": "fs"}, ("p", "r", "fs"), id="FLAN on the hub"),
        pytest.param({"input": "p", "target": "r"}, ("p", "r", ""), id="BIG-Bench Hard"),
        pytest.param({"prompt": "p", "response": "r", "template": 7}, ("p", "r", "7"), id="template is a number"),
        pytest.param({"prompt": "p", "response": "r", "template": 7.0}, ("p", "r", "7"), id="template is 7.0"),
        pytest.param({"prompt": " p\n", "response": "r ", "template": None}, (" p\n", "r ", ""), id="kept as they are"),
        pytest.param({"prompt": "p", "response": "r", "messages": "odd"}, ("p", "r", ""), id="messages not needed"),
    ],
)
def test_a_row_is_read(row: dict[str, Any], fields: tuple[str, str, str]) -> None:
    read = instance(row)
    assert (read.prompt, read.response, read.template) == fields
    assert read.messages is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"response": "r"}, "prompt is missing", id="no prompt"),
        pytest.param({"prompt": "p", "response": None}, "response is missing", id="null response"),
        pytest.param({"prompt": 3, "response": "r"}, "prompt has the wrong type: a number", id="number"),
        pytest.param({"prompt": "p", "response": 1.5}, "response has the wrong type: a number", id="float"),
        pytest.param({"prompt": "p", "response": True}, "response has the wrong type: a boolean", id="boolean"),
        pytest.param({"prompt": ["p"], "response": "r"}, "prompt has the wrong type: a list", id="list"),
        pytest.param({"prompt": b"p", "response": "r"}, "prompt has the wrong type: bytes", id="bytes"),
        pytest.param({"prompt": {}, "response": "r"}, "prompt has the wrong type: an object", id="object"),
        pytest.param(
            {"prompt": "p", "response": "r", "template": 7.5}, "template has the wrong type: a number", id="template"
        ),
        pytest.param({"prompt": None, "inputs": "p", "response": "r"}, "prompt is missing", id="null is no other"),
        pytest.param({"prompt": " \n\t\u2003", "response": "r"}, "prompt is empty", id="blank prompt"),
        pytest.param({"prompt": "p", "response": ""}, "response is empty", id="empty response"),
        pytest.param({"prompt": "p\0", "response": "r"}, reasons.NUL, id="NUL"),
        pytest.param({"prompt": "p", "response": "r", "template": "\0"}, reasons.NUL, id="NUL in the template"),
        pytest.param({"prompt": "\ud800", "response": "r"}, reasons.NOT_UTF8, id="lone surrogate"),
        pytest.param({"messages": {"a": 1}}, "messages has the wrong type: an object", id="messages no list"),
        pytest.param({"messages": []}, reasons.NO_ASSISTANT, id="no turns"),
        pytest.param({"messages": [USER]}, reasons.NO_ASSISTANT, id="no assistant"),
        pytest.param({"messages": ["hi", ASSISTANT]}, reasons.BAD_TURN, id="turn is text"),
        pytest.param({"messages": [{"role": "user", "content": [3]}, ASSISTANT]}, reasons.BAD_PART, id="content list"),
        pytest.param({"messages": [{"role": "user", "content": "\0"}, ASSISTANT]}, reasons.NUL, id="NUL in a turn"),
        pytest.param({"messages": [ASSISTANT]}, "prompt is empty", id="nothing before the response"),
        pytest.param({"messages": [USER, {"role": "assistant", "content": " "}]}, "response is empty", id="no answer"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=f"^{reason}$"):
        instance(row)


def test_a_configured_name_is_taken_at_its_word() -> None:
    names = FieldNames(Columns(prompt="question", task="subject"))
    with pytest.raises(RowError, match="prompt is missing"):
        instance({"prompt": "p", "inputs": "p", "input": "p", "response": "r"}, names)
    with pytest.raises(RowError, match="task is missing"):
        task_of({"task_name": "t"}, names, None)


@pytest.mark.parametrize(
    ("turns", "prompt", "before"),
    [
        pytest.param([USER, ASSISTANT], "hi", None, id="one exchange"),
        pytest.param([USER, ASSISTANT, USER], "hi", None, id="unanswered turn dropped"),
        pytest.param([SYSTEM, USER, ASSISTANT], "hi", [SYSTEM, USER], id="system turn"),
        pytest.param(
            [USER, ASSISTANT, USER, ASSISTANT],
            "user: hi\nassistant: hello\nuser: hi",
            [USER, ASSISTANT, USER],
            id="two exchanges",
        ),
        pytest.param([USER, USER, ASSISTANT], "user: hi\nuser: hi", [USER, USER], id="two user turns"),
    ],
)
def test_a_chat_becomes_prompt_response_and_turns(
    turns: list[dict[str, str]], prompt: str, before: list[dict[str, str]] | None
) -> None:
    chat = instance({"messages": turns})
    assert (chat.prompt, chat.response) == (prompt, "hello")
    assert chat.messages == (before and json.dumps(before, sort_keys=True, separators=(",", ":")))


def test_turns_are_canonical_and_part_of_the_id() -> None:
    reordered = [{"content": "be brief", "weight": 0, "role": "system"}, USER, ASSISTANT]
    first = instance({"messages": [SYSTEM, USER, ASSISTANT]})
    assert instance({"messages": reordered}) == first
    assert instance({"messages": [USER, ASSISTANT]}).id != first.id


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(name, id=name[:12])
        for name in ("a/b", "..", "a|b", "<script>alert(1)</script>", "x" * 300, "日本 語")
    ],
)
def test_any_printable_task_name_is_legal(task: str) -> None:
    assert task_of({"task_name": task}, NAMES, "default") == task


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        pytest.param("a\x1b[31m", reasons.TASK_CONTROL, id="ANSI"),
        pytest.param("a\nb", reasons.TASK_CONTROL, id="line break"),
        pytest.param("a\x85", reasons.TASK_CONTROL, id="C1"),
        pytest.param("a\0", reasons.NUL, id="NUL"),
        pytest.param(" ", "task is empty", id="blank"),
        pytest.param(3.5, "task has the wrong type: a number", id="number"),
        pytest.param(None, "task is missing", id="null"),
    ],
)
def test_a_bad_task_name_is_refused(task: object, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        task_of({"task": task}, FieldNames(Columns(task="task")), None)


def test_the_id_is_what_it_always_was() -> None:
    row = instance({"prompt": "p", "response": "r"})
    assert row.id == content_hash("task", "p", "r") == "5655ff17c7b8ef0520fba495d3f586ae"
    assert row.prompt_hash == content_hash("p") == "c833005aae5e794c3a2c53fc2f90eb9b"


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4))
def test_only_equal_parts_have_equal_hashes(one: list[str], other: list[str]) -> None:
    assert (content_hash(*one) == content_hash(*other)) == (one == other)
    assert len(content_hash(*one)) == 32
