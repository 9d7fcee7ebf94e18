"""What `smart sql` writes: read back it is what DuckDB answered; statements end where DuckDB says."""

# ruff: noqa: S608
# Queries of ours, over values of ours.

import csv
import io
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from smart_assets.cli.main import app
from smart_assets.cli.sql_answers import show_table, write_csv, write_json
from smart_assets.lineage.sql.connect import connect
from smart_assets.lineage.sql.quoting import complete_statements
from smart_assets.settings import Project
from smart_assets_tests.support.sql_queries import QUERIES

SMART = Path(sys.executable).with_name("smart")
ESCAPES = "\x1b]0;title\x07\x1b[31m\x9b31m"


class Output:
    """Stands for stdout that is a pipe."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


def written(write: Callable[[Any, int | None], bool], query: str, limit: int | None = None, **values: Any) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", output := Output())
        connection = duckdb.connect()
        if values:
            connection.register("given", pa.table(values))
        write(connection.sql(query), limit)
    return output.buffer.getvalue()


def strict(text: bytes) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text.decode("ascii"), parse_constant=refuse, parse_float=Decimal)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", " ", "#", "a\r\nb", "\r", '"', '""', ",", "\x00", ESCAPES, "NULL", "007", "\u202e", "\ufeff"]
)


@given(st.lists(st.tuples(st.none() | TEXTS, st.none() | TEXTS), max_size=5))
@settings(deadline=None, max_examples=150)
def test_csv_and_json_give_back_every_text_and_every_null(rows: list[tuple[str | None, str | None]]) -> None:
    columns = {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(["a", 'b "x", y'])}
    answer = written(write_csv, "FROM given", **columns)
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(answer)
        file.flush()
        options = "header=true, delim=',', quote='\"', escape='\"', allow_quoted_nulls=false, auto_detect=false"
        kinds = "columns={'a': 'VARCHAR', 'b': 'VARCHAR'}"
        assert duckdb.sql(f"FROM read_csv('{file.name}', {options}, {kinds})").fetchall() == rows
    assert [list(row.values()) for row in strict(written(write_json, "FROM given", **columns))] == [*map(list, rows)]
    parsed = list(csv.reader(io.StringIO(answer.decode(), newline="")))
    assert parsed == [["a", 'b "x", y'], *([value or "" for value in row] for row in rows)]


def test_pyarrow_reads_it_too() -> None:
    rows = f"(NULL, '', '{ESCAPES}', 'a\"\n,'), ('x', NULL, '#', ' ')"
    answer = written(write_csv, f"SELECT * FROM (VALUES {rows}) t(a, b, c, d)")
    read = pyarrow.csv.read_csv(
        io.BytesIO(answer),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys("abcd", pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    assert [tuple(row.values()) for row in read.to_pylist()] == [
        (None, "", ESCAPES, 'a"\n,'),
        ("x", None, "#", " "),
    ]


EXACT, LONG = Decimal("1.10"), "1234567890.12345678901234567"

# Of each: what CSV says, which DuckDB takes back as the same value, and what JSON says.
VALUES: list[tuple[str, str, Any]] = [
    ("2026", "2026", 2026),
    ("true", "true", True),
    ("NULL::INTEGER", "", None),
    ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727", 2**127 - 1),
    ("18446744073709551615::UBIGINT", "18446744073709551615", 2**64 - 1),
    ("1.10::DECIMAL(10, 2)", "1.10", Decimal("1.10")),
    ("1234567890.12345678901234567::DECIMAL(38, 17)", LONG, Decimal(LONG)),
    ("0.1::DOUBLE", "0.1", Decimal("0.1")),
    ("0.1::FLOAT", "0.1", Decimal("0.1")),
    ("1e300::DOUBLE", "1e+300", Decimal("1e+300")),
    ("'nan'::DOUBLE", "nan", "NaN"),
    ("'inf'::FLOAT", "inf", "Infinity"),
    ("'-inf'::DOUBLE", "-inf", "-Infinity"),
    ("TIMESTAMP '2026-01-02 03:04:05.123456'", "2026-01-02 03:04:05.123456", "2026-01-02 03:04:05.123456"),
    ("'2026-01-02 03:04:05.123456789'::TIMESTAMP_NS",) + ("2026-01-02 03:04:05.123456789",) * 2,
    ("'infinity'::DATE", "infinity", "infinity"),
    ("INTERVAL 14 MONTHS", "1 year 2 months", "1 year 2 months"),
    (r"'\x00\xAA'::BLOB", r"\x00\xAA", r"\x00\xAA"),
    ("'00000000-0000-0000-0000-00000000000a'::UUID",) + ("00000000-0000-0000-0000-00000000000a",) * 2,
    ("'0123456789abcdef0123456789abcdef'",) + ("0123456789abcdef0123456789abcdef",) * 2,
    ("[1.5, NULL, 'nan'::DOUBLE]", "[1.5, NULL, nan]", [Decimal("1.5"), None, "NaN"]),
    ("{'a': DATE '2026-01-02', 'b': [1.10]}", "{'a': 2026-01-02, 'b': [1.10]}", {"a": "2026-01-02", "b": [EXACT]}),
    ("MAP{1: TIMESTAMP '2026-01-02 03:04:05'}", "{1='2026-01-02 03:04:05'}", {"1": "2026-01-02 03:04:05"}),
    ("[DATE '2026-01-02']::DATE[1]", "[2026-01-02]", ["2026-01-02"]),
    ("(1, 'a')", "(1, a)", [1, "a"]),
    ("""'{"a": [1.50, "<b>"]}'::JSON""", '{"a": [1.50, "<b>"]}', {"a": [Decimal("1.50"), "<b>"]}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "as_csv", "as_json"), VALUES, ids=[value for value, *_ in VALUES])
def test_a_value_keeps_all_that_it_is(value: str, as_csv: str, as_json: Any) -> None:
    [[told], *more] = [[*row.values()] for row in strict(written(write_json, f"SELECT {value} AS v"))]
    assert more == []
    assert (told, type(told)) == (as_json, type(as_json))
    header, line = written(write_csv, f"SELECT {value} AS v, 1 AS one").decode().splitlines()
    assert header == "v,one"
    [row] = csv.reader([line])
    assert row == [as_csv, "1"]
    if as_csv and "(" not in as_csv:
        same = f"SELECT {value} IS NOT DISTINCT FROM CAST($told AS {duckdb.sql(f'SELECT {value}').types[0]})"
        assert duckdb.execute(same, {"told": as_csv}).fetchone() == (True,)


def test_no_row_is_left_out_but_for_a_limit() -> None:
    query = "SELECT range AS n FROM range(25000)"
    assert len(written(write_csv, query).splitlines()) == 25_001
    assert [row["n"] for row in strict(written(write_json, query))] == [*range(25_000)]
    for limit in (1, 10_000, 24_999, 25_000, 25_001, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", output := Output())
            assert write_csv(duckdb.sql(query), limit) == (limit is not None and limit < 25_000)
        assert len(output.buffer.getvalue().splitlines()) == 1 + min(25_000, limit or math.inf)


def test_columns_of_one_name_stay_apart() -> None:
    query = 'SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS "b,"'
    assert written(write_csv, query) == b'a,a,a_1,"b,"\n1,2,3,4\n'
    assert strict(written(write_json, query)) == [{"a": 1, "a_1": 2, "a_1_1": 3, "b,": 4}]
    assert written(write_csv, f"{query} WHERE false") == b'a,a,a_1,"b,"\n'
    assert strict(written(write_json, f"{query} WHERE false")) == []


def test_a_terminal_sees_whole_and_harmless_values(capsys: pytest.CaptureFixture[str]) -> None:
    long = "0123456789abcdef" * 20
    values = f"2026, true, 0.123456789::DOUBLE, NULL, '{ESCAPES}', '{long}'"
    assert not show_table(duckdb.sql(f"SELECT {values}"), None)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("2026", "true", "0.123456789", "NULL", "[31m", long))
    assert not any(letter in shown for letter in "\x1b\x07\x9b")
    assert show_table(duckdb.sql("FROM range(1001)"), None)
    assert len(capsys.readouterr().out.splitlines()) == 1_001


PARTS = st.sampled_from(
    [
        "select 1",
        " ",
        "\n",
        ";",
        "'a;b'",
        "'it''s;'",
        '"x;y"',
        "$$p;q$$",
        "$t$ ; $t$",
        "-- c;\n",
        "/* ; */",
        "é€",
        ",",
        "'",
    ]
)


@given(st.lists(PARTS, max_size=8))
@settings(deadline=None, max_examples=200)
def test_statements_end_where_duckdb_says(parts: list[str]) -> None:
    text = "".join(parts)
    done, rest = complete_statements(text)
    assert "".join([*done, rest]) == text
    assert all(one.endswith(";") for one in done)
    assert complete_statements(rest)[0] == []
    try:
        whole = [one.query for one in duckdb.extract_statements(text)]
    except duckdb.Error:
        return
    assert len([one for part in (*done, rest) for one in duckdb.extract_statements(part)]) == len(whole)


@pytest.fixture
def sql(past_project: Project) -> Callable[..., Result]:
    def run(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(app, ["sql", "--config", str(past_project.config), *arguments], input=text)

    return run


def test_every_documented_question_piped_in_is_answered_as_duckdb_answers(
    sql: Callable[..., Result], past_project: Project
) -> None:
    connection = connect(past_project, print)
    for form in ("--csv", "--json"):
        done = sql(form, text="".join(f"-- {question}\n{query}\n" for question, query in QUERIES))
        assert done.exit_code == 0, done.stderr
        expected = [connection.sql(query.rstrip("\n;")) for _, query in QUERIES]
        if form == "--csv":
            answers = done.stdout.split("\n\n")
            counted = [len(list(csv.DictReader(io.StringIO(one)))) for one in answers]
            heads = [one.split("\n")[0].split(",") for one in answers]
            assert heads == [one.columns for one in expected]
        else:
            counted = [len(one) for one in _documents(done.stdout)]
        assert counted == [len(one.fetchall()) for one in expected]
        assert min(counted) >= 1


def _documents(text: str) -> Iterator[list[Any]]:
    while text.strip():
        found, end = json.JSONDecoder().raw_decode(text.lstrip())
        yield found
        text = text.lstrip()[end:]


def test_versions_numbers_and_booleans_are_whole_in_a_pipe(sql: Callable[..., Result], past_project: Project) -> None:
    query = "SELECT content_version, current, 2026 AS year, 1234567 AS n FROM materializations ORDER BY ALL"
    expected = connect(past_project, print).execute(query).fetchall()
    rows = list(csv.reader(io.StringIO(sql(query).stdout)))[1:]
    assert rows == [[version, str(current).lower(), "2026", "1234567"] for version, current, *_ in expected]
    assert {len(version) for version, *_ in rows} == {32}
    told = json.loads(sql(query, "--json").stdout)
    assert [tuple(row.values()) for row in told] == expected


@pytest.mark.parametrize("given_as", ["argument", "stdin"])
def test_statements_run_in_order_and_an_error_ends_them_with_status_1(
    sql: Callable[..., Result], given_as: str
) -> None:
    text = "CREATE VIEW two AS\nSELECT 'a;b' AS x; -- ; \n;;\nFROM two;\nSELECT nonsense;\nSELECT 3"
    done = sql(text) if given_as == "argument" else sql(text=text)
    assert done.exit_code == 1
    assert done.stdout == "x\na;b\n"
    assert "nonsense" in str(done.exception)
    assert "views: " in str(done.exception)


@pytest.mark.parametrize(("text", "status"), [("", 2), (" ;; ", 2), ("/* nothing */", 0), ("SET threads = 1;", 0)])
def test_what_asks_nothing_is_no_traceback(sql: Callable[..., Result], text: str, status: int) -> None:
    done = sql(text)
    assert (done.exit_code, done.stdout) == (status, "")
    assert sql(text=text).exit_code == 0
    assert isinstance(done.exception, SystemExit | None)


def test_a_limit_holds_everywhere_and_is_told_beside_the_answer(sql: Callable[..., Result]) -> None:
    done = sql("FROM range(2000)")
    assert (len(done.stdout.splitlines()), done.stderr) == (2_001, "")
    done = sql("FROM range(2000)", "--limit", "3")
    assert done.stdout == "range\n0\n1\n2\n"
    assert "there are more rows" in done.stderr
    assert sql("FROM range(3)", "--limit", "3").stderr == ""
    assert sql("FROM range(3)", "--limit", "0").exit_code == 2


def test_a_variable_of_the_program_is_no_table(sql: Callable[..., Result]) -> None:
    assert sql("FROM statements").exit_code == 1


def pasted(project: Project, text: str, stdout: int) -> tuple[int, bytes]:
    """Type a text into `smart sql` in a terminal; what it answered goes where `stdout` says, prompts to stderr."""
    import pty

    ours, theirs = pty.openpty()
    command = [str(SMART), "sql", "--config", str(project.config)]
    with subprocess.Popen(command, stdin=theirs, stdout=stdout, stderr=subprocess.PIPE) as started:
        os.close(theirs)
        os.write(ours, f"{text}\n\x04".encode())
        _, told = started.communicate()
        os.close(ours)
    return started.returncode, told


def test_questions_pasted_into_a_terminal_are_answered_and_an_error_ends_nothing(
    past_project: Project, sql: Callable[..., Result], tmp_path: Path
) -> None:
    text = f"{QUERIES[0][1]}\nSELECT nonsense;\n{QUERIES[7][1].rstrip().rstrip(';')}"
    with (tmp_path / "out.csv").open("wb") as out:
        status, told = pasted(past_project, text, out.fileno())
    assert status == 1, "one of them had an error"
    assert (tmp_path / "out.csv").read_text() == sql(f"{QUERIES[0][1]};{QUERIES[7][1]}").stdout
    assert b"nonsense" in told
    assert b"sql> " in told
    assert b"...> " in told


@pytest.mark.parametrize(
    "arguments", [["sql", "FROM range(300000)"], ["plan", "--all"], ["sql", "--json", "FROM runs"]]
)
def test_a_reader_that_goes_away_is_no_traceback(past_project: Project, arguments: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [str(SMART), *arguments, "--config", str(past_project.config)]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    assert done.stderr == ""
    assert done.returncode in (0, 1)
