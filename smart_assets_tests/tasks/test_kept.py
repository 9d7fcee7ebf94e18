"""Kept columns and the licence gate: what is kept of a row, under which names, and which rows may come in."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from smart_assets.core.errors import SourceError
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks import layouts, reasons
from smart_assets.tasks.kept import columns_of, kept_of, values_of
from smart_assets.tasks.raw_rows import RowError
from smart_assets.tasks.source_kind import Columns
from smart_assets_tests.support.make import current
from smart_assets_tests.support.small_source import content_of, edit, make_small, small_project

ROW = {"prompt": "one two three", "response": "yes"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def keeping(folder: Path, rows: list[dict[str, Any]], keep: Any = ("author",), **settings: Any) -> Project:
    """A project whose one source keeps columns."""
    source = {"kind": "folder", "path": str(folder / "in"), "columns": {"keep": keep}, **settings}
    project = small_project(folder, sources={"small": source})
    edit(folder / "in", {"a.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows)})
    return project


def origins(project: Project, name: str) -> list[dict[str, Any]]:
    manifest = current(project, "raw_tasks", "small")
    return pq.read_table(project.store.folder(manifest.attachments["origins"]) / name).to_pylist()


def made(project: Project) -> Manifest:
    return make_small(project).manifest


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param("x", "x", id="text"),
        pytest.param("", "", id="empty text is a value"),
        pytest.param('Ann "A" O\'Neil\n<b>\u202e\\u0000', 'Ann "A" O\'Neil\n<b>\u202e\\u0000', id="hostile text"),
        pytest.param(7, 7, id="number"),
        pytest.param(True, True, id="boolean"),
        pytest.param(0.1, 0.1, id="float"),
        pytest.param(10**30, 10**30, id="large number"),
        pytest.param(["mit", None], ["mit", None], id="list"),
        pytest.param({"b": 1, "a": {"c": []}}, {"a": {"c": []}, "b": 1}, id="object"),
        pytest.param(date(2024, 1, 31), "2024-01-31", id="date"),
        pytest.param(datetime(2024, 1, 31, 5, tzinfo=UTC), "2024-01-31T05:00:00+00:00", id="time"),
        pytest.param(Decimal("1.10"), "1.10", id="decimal"),
    ],
)
def test_values_are_kept_as_they_are_read(value: object, kept: object) -> None:
    text = kept_of({"author": value}, [("who", "author")])
    assert values_of(text) == {"who": kept}
    assert text == kept_of({"author": value, "other": 1}, [("who", "author")])


@pytest.mark.parametrize("value", [None, float("nan")], ids=["null", "NaN"])
def test_what_is_missing_is_no_value(value: object) -> None:
    assert kept_of({"author": value}, [("author", "author"), ("url", "url")]) is None
    assert kept_of({"author": value, "url": "u"}, [("author", "author"), ("url", "url")]) == '{"url":"u"}'


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(b"x", reasons.BAD_KEPT, id="bytes"),
        pytest.param(float("inf"), reasons.BAD_KEPT, id="infinity"),
        pytest.param([float("nan")], reasons.BAD_KEPT, id="NaN inside"),
        pytest.param({1: "a", "b": "c"}, reasons.BAD_KEPT, id="keys of two kinds"),
        pytest.param(deep(), reasons.BAD_KEPT, id="deep"),
        pytest.param("a\0b", reasons.NUL, id="NUL"),
        pytest.param(["\\\0"], reasons.NUL, id="NUL after a backslash"),
        pytest.param("\ud800", reasons.NOT_UTF8, id="lone surrogate"),
        pytest.param({"\udfff": 1}, reasons.NOT_UTF8, id="lone surrogate in a key"),
    ],
)
def test_what_cannot_be_kept_refuses_the_row(value: object, reason: str) -> None:
    with pytest.raises(RowError, match=f"^{reason}$"):
        kept_of({"author": value}, [("author", "author")])


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), JSON, max_size=4))
def test_any_json_comes_back(row: dict[str, Any]) -> None:
    columns = [(f"name {index}", column) for index, column in enumerate(row) if "\0" not in column]
    expected = {name: row[column] for name, column in columns if row[column] is not None}
    assert values_of(kept_of(row, columns)) == expected


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        pytest.param(["x", None], pa.large_string(), ["x", None], id="texts"),
        pytest.param([1, None, 2], pa.int64(), [1, None, 2], id="whole numbers"),
        pytest.param([1, 2.5], pa.float64(), [1.0, 2.5], id="numbers"),
        pytest.param([True, False], pa.bool_(), [True, False], id="booleans"),
        pytest.param([2**63, 1], pa.large_string(), ["9223372036854775808", "1"], id="too large"),
        pytest.param([2**53 + 1, 0.5], pa.large_string(), ["9007199254740993", "0.5"], id="no float says it"),
        pytest.param(["x", 1, True], pa.large_string(), ["x", "1", "true"], id="of several kinds"),
        pytest.param([["é"], {"b": 1, "a": "x"}], pa.large_string(), ['["é"]', '{"a":"x","b":1}'], id="JSON"),
    ],
)
def test_values_become_columns_of_their_types(values: list[Any], kind: pa.DataType, shown: list[Any]) -> None:
    kept = [kept_of({"c": value}, [("c", "c")]) for value in values]
    table = columns_of(kept)
    assert table.schema.field("c").type == kind
    assert table["c"].to_pylist() == shown


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        pytest.param(["source"], "'source' is a column of its own in SQL and exports: keep it under", id="own"),
        pytest.param(["ID"], "'ID' is a column of its own", id="whatever its case"),
        pytest.param(["system"], "'system' is a column of its own", id="would be read as a system turn"),
        pytest.param(["author", "Author"], "'Author' is kept twice", id="twice"),
        pytest.param({"author": "a", "AUTHOR": "b"}, "'AUTHOR' is kept twice", id="twice by name"),
        pytest.param(["a\nb"], "cannot be the name", id="line break"),
        pytest.param([" a"], "cannot be the name", id="blank"),
        pytest.param([""], "at least 1 character", id="empty"),
        pytest.param({"origin": ""}, "at least 1 character", id="empty column"),
    ],
)  # fmt: skip
def test_names_that_are_taken_are_refused_with_what_to_do(keep: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        Columns.model_validate({"keep": keep})
    assert "`keep: {NAME: " in str(refused.value) or "at least" in message


def test_no_name_that_a_layout_reads_can_be_kept() -> None:
    for layout in layouts.LAYOUTS:
        others = {layout.history, layout.liked} - {""}
        for name in {*layout.prompt, *layout.extra, *layout.second, *layout.responses, *layout.chats, *others}:
            with pytest.raises(ValidationError, match="keep it under another name"):
                Columns.model_validate({"keep": [name]})


def test_values_stand_beside_rows_and_duplicates(tmp_path: Path) -> None:
    first, second = {**ROW, "author": "ann", "source": 1}, {**ROW, "author": "bob"}
    rows = [first, second, {**ROW, "author": "cy", "more": 1}, {**ROW, "prompt": "four", "source": None}]
    project = keeping(tmp_path, rows, {"who": "author", "from_where": "source", "nobody": "nothing"})
    log: list[str] = []
    make_small(project, log)
    kept = origins(project, "kept.parquet")
    assert [(row["line"], row["duplicate"], values_of(row["kept"])) for row in kept] == [
        (1, False, {"from_where": 1, "who": "ann"}),
        (2, True, {"who": "bob"}),
        (3, True, {"who": "cy"}),
    ]
    assert "kept of 3 rows: from_where of 1 rows, nobody of 0 rows, who of 3 rows" in "\n".join(log)
    repeats = origins(project, "rejected.parquet")
    assert [row["reason"] for row in repeats] == list(reasons.DUPLICATES), "what is kept is read"
    assert {row["id"] for row in kept} == {row["id"] for row in repeats}
    assert not any("not read: column `author`" in line for line in log)
    assert any("not read: column `more`" in line for line in log)


def test_a_source_that_keeps_nothing_is_as_it_was(tmp_path: Path) -> None:
    rows = [{**ROW, "author": "ann"}]
    plain, keeps = keeping(tmp_path / "a", rows, []), keeping(tmp_path / "b", rows)
    one, other = made(plain), made(keeps)
    assert one.content_version == other.content_version
    assert "keep" not in one.parameters["source"]["columns"]
    assert [file.path for file in one.attachments["origins"].files].count("kept.parquet") == 0


def test_only_kept_values_change_and_nothing_is_made_anew(tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "prompt": "four"}]
    before = made(keeping(tmp_path, [{**row, "author": "ann"} for row in rows]))
    project = keeping(tmp_path, [{**row, "author": "eve"} for row in rows])
    log: list[str] = []
    assert make_small(project, log).manifest.content_version == before.content_version
    assert "its content is what it was: nothing that depends on it is out of date" in "\n".join(log)
    assert {row["kept"] for row in origins(project, "kept.parquet")} == {'{"author":"eve"}'}


def test_what_is_kept_changes_and_files_are_read_again(tmp_path: Path) -> None:
    rows = [{**ROW, "author": "ann", "url": "u"}]
    made(keeping(tmp_path, rows))
    project = keeping(tmp_path, rows, ["author", "url"])
    again = made(project)
    assert (again.made["files read"], again.made["files reused"]) == (1, 0)
    assert origins(project, "kept.parquet")[0]["kept"] == '{"author":"ann","url":"u"}'


@pytest.mark.parametrize("form", ["csv", "parquet", "partition"])
def test_columns_are_kept_of_other_formats(tmp_path: Path, form: str) -> None:
    project = small_project(
        tmp_path,
        sources={"small": {"kind": "folder", "path": str(tmp_path / "in"), "columns": {"keep": ["author"]}}},
    )
    folder = tmp_path / "in"
    if form == "csv":
        edit(folder, {"a.csv": "prompt,response,author\nfour,yes,007\n"})
    elif form == "parquet":
        pq.write_table(pa.table({"prompt": ["four"], "response": ["yes"], "author": ["007"]}), folder / "a.parquet")
    else:
        edit(folder, {"author=007/a.jsonl": json.dumps(ROW)})
    made(project)
    assert [row["kept"] for row in origins(project, "kept.parquet")] == ['{"author":"007"}']


GATE = {"allow": ["MIT", "apache-2.0", "My  Own Terms"], "column": "lic"}


@pytest.mark.parametrize(
    ("licence", "own", "reason"),
    [
        pytest.param("MIT", None, None, id="allowed"),
        pytest.param(" mit\t", None, None, id="case and white space"),
        pytest.param("my own terms", None, None, id="words"),
        pytest.param("Apache 2.0", None, reasons.LICENCE, id="nothing is guessed"),
        pytest.param("MIT OR GPL-3.0", None, reasons.LICENCE, id="an expression is another name"),
        pytest.param("cc-by-nc-4.0", "mit", reasons.LICENCE, id="its own counts, not the source's"),
        pytest.param(["mit", "Apache-2.0"], None, None, id="list"),
        pytest.param(["mit", "gpl-3.0"], None, reasons.LICENCE, id="list with another"),
        pytest.param([], "mit", None, id="empty list"),
        pytest.param(7, "mit", reasons.LICENCE, id="no text"),
        pytest.param({"id": "mit"}, "mit", reasons.LICENCE, id="object"),
        pytest.param(None, "Mit", None, id="none, and the source's is allowed"),
        pytest.param("  ", "mit", None, id="blank, and the source's is allowed"),
        pytest.param(None, "gpl-3.0", reasons.NO_LICENCE, id="none, and the source's is not"),
        pytest.param(None, None, reasons.NO_LICENCE, id="none at all"),
    ],
)
def test_rows_of_other_licences_are_refused(
    tmp_path: Path, licence: object, own: str | None, reason: str | None
) -> None:
    rows = [{**ROW, "lic": licence, "pad": "x" * 300}, {**ROW, "prompt": "always", "lic": "mit"}]
    project = keeping(tmp_path, rows, [], licences=GATE, license=own)
    made(project)
    refused = origins(project, "rejected.parquet")
    assert [row["reason"] for row in refused] == ([] if reason is None else [reason])
    assert content_of(project).num_rows == 2 - len(refused)
    if reason == reasons.LICENCE:
        assert refused[0]["excerpt"].startswith(json.dumps({"lic": licence})[:-1]), "the licence, and then the row"


def test_the_licence_of_the_source_decides_and_is_said(tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "prompt": "named", "lic": "MIT"}]
    log: list[str] = []
    make_small(keeping(tmp_path, rows, [], licences=GATE, license="mit"), log)
    assert "1 of the rows read name no licence in the column `lic`: they count as mit, the source's own" in "\n".join(
        log
    )
    project = keeping(tmp_path, rows, [], licences=GATE, license="gpl-3.0")
    made(project)
    assert content_of(project).num_rows == 1, "another licence of the source reads it again"
    with pytest.raises(SourceError, match=r"2 x names no licence, and the source's own is not"):
        made(keeping(tmp_path, [ROW, {**ROW, "prompt": "b"}], [], licences=GATE))


def test_nothing_is_kept_of_what_is_only_evaluated_on(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"`columns.keep` does nothing here"):
        small_project(tmp_path, evaluate={"collections": {"other": {"path": "x", "columns": {"keep": ["author"]}}}})
