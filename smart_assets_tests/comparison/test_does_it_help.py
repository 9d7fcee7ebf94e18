"""The study's project is written once, and options that say otherwise afterwards are refused."""

import json
from pathlib import Path

import pytest
import yaml

from benchmarks.does_it_help import hold_against, read_arguments, write_project


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """The options of a small study whose project is there."""
    (tmp_path / "data" / "t0").mkdir(parents=True)
    for task in ("alpha", "beta"):
        rows = [{"prompt": f"{task} {number}", "response": "x" * number} for number in range(1, 9)]
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (tmp_path / "data" / "t0" / f"{task}.jsonl").write_text(text)
    words = ["--out", str(tmp_path / "out"), "--data", str(tmp_path / "data"), "--least-rows", "3"]
    write_project(read_arguments([*words, "--characters", "12", "--budgets", "30", "--loss", "tokens"])[0])
    return words


def hold(words: list[str], *more: str) -> None:
    hold_against(*read_arguments([*words, *more]))


def test_the_same_options_and_none_go_on(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(words[1]) / "smart.yaml"
    before = path.read_bytes()
    hold(words[:2])
    hold(words, "--characters", "12", "--budgets", "30", "--loss", "tokens", "--seeds", "5", "--bbh-rows", "4")
    assert path.read_bytes() == before
    assert capsys.readouterr().out == ""


def test_budgets_are_added_and_all_else_stays(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(words[1]) / "smart.yaml"
    before = "# by hand\n" + path.read_text()
    path.write_text(before)
    hold(words[:2], "--budgets", "80", "30")
    assert path.read_text() == before.replace("budgets: [30]", "budgets: [30, 80]")
    assert yaml.safe_load(path.read_text())["budgets"] == [30, 80]
    assert capsys.readouterr().out == f"{path}: budgets [30] -> [30, 80]; all else is as it was\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(["--loss", "rows"], "finetune.loss is tokens, and --loss says rows", id="loss"),
        pytest.param(["--seeds", "2"], r"finetune.seeds is \[0, 1, 2, 3, 4\], and --seeds says \[0, 1\]", id="seeds"),
        pytest.param(["--held-out-rows", "9"], "max_rows_per_task is 20, and --held-out-rows says 9", id="held out"),
        pytest.param(["--bbh-rows", "9"], "max_rows_per_task is 4, and --bbh-rows says 9", id="bbh"),
        pytest.param(["--budgets", "80"], r"budgets are \[30\], and --budgets leaves some out", id="a budget less"),
        pytest.param(["--characters", "10"], "10 characters and 200 rows at least choose other rows", id="rows"),
        pytest.param(["--data", "elsewhere"], r"path is .*data/bbh, and --data says .*elsewhere/bbh", id="data"),
        pytest.param(["--budgets", "30", "80", "--loss", "rows"], "finetune.loss", id="nothing is added then"),
    ],
)
def test_what_stands_otherwise_is_refused(words: list[str], more: list[str], message: str) -> None:
    path = Path(words[1]) / "smart.yaml"
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=f"(?s)is there and says otherwise.*{message}.*another folder by --out"):
        hold(words[:2], *more)
    assert path.read_bytes() == before
