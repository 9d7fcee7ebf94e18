"""The names of columns that the settings give: they win, and are taken at their word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.tasks import reasons
from smart_assets.tasks.prompt_template import columns_of, filled
from smart_assets.tasks.raw_rows import RowError
from smart_assets.tasks.source_kind import Columns
from smart_assets.tasks.sources import recorded_source
from smart_assets_tests.support.read_rows import read_row

Row = dict[str, Any]
HI, HELLO = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


@pytest.mark.parametrize(
    ("row", "columns", "prompt"),
    [
        pytest.param({"a": "x", "b": "y", "output": "r"}, {"prompt": ["a", "b"]}, "x\n\ny", id="list"),
        pytest.param({"a": "x", "b": "", "output": "r"}, {"prompt": ["a", "b"]}, "x", id="blank one"),
        pytest.param({"a": "x", "output": "r"}, {"prompt": ["a", "b"]}, "x", id="absent one"),
        pytest.param({"a": "{b}", "b": "y", "output": "r"}, {"prompt_template": "<{a}|{b}>{{}}"}, "<{b}|y>{}", id="t"),
        pytest.param(
            {"instruction": "i", "input": "x", "output": "r"},
            {"prompt": "instruction", "response": "output"},
            "i",
            id="taken at its word",
        ),
        pytest.param({"instruction": "i", "input": "x", "out": "r"}, {"response": "out"}, "i\n\nx", id="response"),
        pytest.param({"prompt": "p", "input": "x", "response": "r"}, {"prompt": "prompt"}, "p", id="own name"),
        pytest.param({"dialog": [HI, HELLO], "prompt": "p", "response": "r"}, {"messages": "dialog"}, "hi", id="chat"),
    ],
)  # fmt: skip
def test_what_is_set_wins(row: Row, columns: Row, prompt: str) -> None:
    assert read_row(row, **columns)[0].prompt == prompt


@pytest.mark.parametrize(
    ("row", "columns", "reason"),
    [
        pytest.param({"a": None, "prompt": "p", "response": "r"}, {"prompt": "a"}, "prompt is missing", id="null"),
        pytest.param({"a": None, "b": "y", "output": "r"}, {"prompt": ["a", "b"]}, "prompt is missing", id="first"),
        pytest.param({"a": "x", "output": "r"}, {"prompt_template": "{a}{b}"}, reasons.TEMPLATE_COLUMN, id="template"),
        pytest.param({"prompt": "p", "response": "r"}, {"response": "out"}, "response is missing", id="response"),
        pytest.param({"messages": [HI, HELLO]}, {"messages": "dialog"}, "messages is missing", id="chat"),
        pytest.param(
            {"prompt": None, "response": "r", "messages": [HI, HELLO]},
            {"prompt": "prompt"},
            "prompt is missing",
            id="never another column",
        ),
    ],
)
def test_a_null_in_what_is_set_is_a_missing_value(row: Row, columns: Row, reason: str) -> None:
    with pytest.raises(RowError, match=f"^{reason}$"):
        read_row(row, **columns)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        pytest.param({"prompt": "a", "prompt_template": "{b}"}, "leave one of them out", id="both"),
        pytest.param({"prompt_template": "no column"}, "names no column", id="no column"),
        pytest.param({"prompt_template": "{a"}, "has no other", id="open brace"),
        pytest.param({"prompt": []}, "prompt", id="no columns"),
    ],
)
def test_a_prompt_that_cannot_be_composed_is_refused(columns: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Columns(**columns)


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: not set(name) & set("{}")), st.text(), min_size=1))
def test_a_template_looks_names_up_and_nothing_else(texts: dict[str, str]) -> None:
    template = "".join(f"{{{{{{{name}}}}}}}" for name in texts)
    assert set(columns_of(template)) == set(texts)
    assert filled(template, texts) == "".join(f"{{{text}}}" for text in texts.values())


@pytest.mark.parametrize(
    "columns",
    [{}, {"prompt": "prompt"}, {"prompt": "q", "response": "response"}, {"prompt_template": "{a}"}, {"prompt": ["a"]}],
)
def test_names_are_recorded_so_that_they_come_back(columns: Row) -> None:
    names = Columns(**columns)
    recorded = {"kind": "folder", "path": "x", "columns": names.recorded()}
    assert recorded_source(recorded).columns == names
    assert (names.recorded() == Columns().recorded()) == (names == Columns())
