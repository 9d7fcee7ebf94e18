"""The benchmark of selection itself, at its smallest."""

import json
import subprocess
import sys
from pathlib import Path


def test_the_benchmark_measures_both_and_writes_their_ratios(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.selection", "--sizes", "200", "--objectives", "graph_cut"]
    subprocess.run([*command, "--out", str(out)], cwd=Path(__file__).parents[2], check=True, capture_output=True)
    [row] = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert (row["case"], row["size"]) == ("graph_cut", 200)
    assert row["time_ratio"] > 0
    assert row["ours"]["seconds"] > 0


def test_an_option_that_does_nothing_beside_the_table_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.selection", "--table", "--sizes", "200", "--out", str(tmp_path / "r")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--sizes does nothing beside --plot and --table" in " ".join(done.stderr.replace("\u2502", " ").split())
