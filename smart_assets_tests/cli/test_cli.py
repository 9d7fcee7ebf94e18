"""The `smart` command as a user runs it: in a process of its own, its output and exit status read back."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from smart_assets.cli.start import template
from smart_assets.settings.smart_yaml import read_settings
from smart_assets_tests.support.projects import rows, write_project, write_tasks

SMART = Path(sys.executable).with_name("smart")


def smart(*arguments: object, cwd: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(SMART), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, check=False, env=os.environ)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    hostile = [{"t": "[red]red[/red]", **row} for row in rows(7, 10)]
    plain = [{"t": "plain", **row} for row in rows(8, 30, templates=2)]
    escape = {"t": "plain", "prompt": "\x1b]0;title\x07 \x1b[31m", "response": "\x1b[0m"}
    write_project(
        root,
        {"all": [*hostile, *plain, escape]},
        {"sources": {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}}}},
    )
    done = smart("run", "--select", "selected_subset", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    shown = smart("--help", cwd=tmp_path).stdout
    commands = (
        "init",
        "run",
        "plan",
        "export",
        "document",
        "tasks",
        "sql",
        "dev",
        "sample",
        "audit",
        "reproduce",
        "diff",
    )
    for command in commands:
        assert command in shown
    program = "import sys, smart_assets.cli.main; print(len(sys.modules), [n for n in ('dagster', 'pydantic', 'torch', "
    program += "'numpy', 'pyarrow') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


def test_init_makes_a_project_that_runs(tmp_path: Path) -> None:
    done = smart("init", "new", "--sample", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "smart.yaml",
        "dagster.yaml",
        "workspace.yaml",
        ".gitignore",
        "tasks",
    }
    ran = smart("run", "--config", "new", "--select", "raw_tasks", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "raw_tasks[sample]" in ran.stdout
    again = smart("init", "new", cwd=tmp_path)
    assert again.returncode == 1
    assert "is there already" in again.stderr


@pytest.mark.parametrize(
    ("typed", "licence"),
    [
        pytest.param("CC-BY-4.0", "CC-BY-4.0", id="spdx"),
        pytest.param("", None, id="not known"),
        pytest.param('see "terms": #1 \\ {x}', 'see "terms": #1 \\ {x}', id="YAML's own characters"),
    ],
)
def test_init_asks_for_the_licence_in_a_terminal(tmp_path: Path, typed: str, licence: str | None) -> None:
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen([str(SMART), "init", "new"], cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE) as started:
        os.close(theirs)
        os.write(ours, f"{typed}\n".encode())
        shown, _ = started.communicate()
        os.close(ours)
    assert started.returncode == 0
    assert b"Licence of the tasks' rows" in shown
    assert read_settings(tmp_path / "new" / "smart.yaml").sources["sample"].license == licence


def test_init_without_a_terminal_leaves_the_licence_open(tmp_path: Path) -> None:
    done = smart("init", "new", cwd=tmp_path, text="MIT\n")
    assert "Licence" not in done.stdout
    assert (tmp_path / "new" / "smart.yaml").read_text() == template("smart.yaml")


def test_a_second_run_says_that_there_is_nothing_to_do(project: Path) -> None:
    done = smart("run", "--select", "selected_subset", cwd=project)
    assert done.returncode == 0
    assert "nothing to do: everything is up to date" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["run", "--select", "nothing"], "there is no asset 'nothing'", id="asset"),
        pytest.param(["run", "--select", "raw_tasks[other]"], "raw_tasks has no partition 'other'", id="partition"),
        pytest.param(["run", "--config", "missing.yaml"], "missing.yaml is not there: `smart init", id="config"),
        pytest.param(["export", 11, "smart", "x.jsonl"], "no partition '11|smart'", id="budget"),
        pytest.param(["export", 10, "smart", "x.doc"], "ending must be .jsonl or .parquet", id="ending"),
        pytest.param(["export", 10, "random", "x.jsonl", "--seed", 9], "no row set of seed 9", id="seed"),
        pytest.param(
            ["export", 10, "smart", "x", "--for", "me"], "axolotl, llamafactory, open-instruct, trl", id="for"
        ),
        pytest.param(["export", 10, "smart", "x.jsonl", "--for", "trl"], "TRL is a folder", id="folder"),
        pytest.param(["document", 11, "smart", "x.d"], "no partition '11|smart'", id="document"),
        pytest.param(["sql", "SELECT * FROM nothing"], "views: ", id="sql"),
        pytest.param(["sql", "--export", "smart.yaml"], "smart.yaml is there already", id="sql export"),
        pytest.param(["audit", "task", "plian"], "names like it: 'plain'", id="audit"),
    ],
)
def test_an_error_is_one_message_without_a_traceback(project: Path, arguments: list[object], message: str) -> None:
    done = smart(*arguments, cwd=project)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(project.glob("x.*"))


def test_exports_hold_the_same_rows(project: Path) -> None:
    for out in ("a.jsonl", "a.parquet", "folder"):
        done = smart("export", 20, "smart", out, cwd=project)
        assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (project / "a.jsonl").read_text().splitlines()]
    assert len(lines) == 20
    assert set(lines[0]) == {"prompt", "response", "task", "template", "id", "source", "rank", "gain", "messages"}
    assert pq.read_table(project / "a.parquet").to_pylist() == lines

    import datasets

    dataset = datasets.load_dataset(str(project / "folder"), split="train", cache_dir=str(project / "cache"))
    assert dataset.to_list() == lines
    done = smart("export", 20, "smart", "for_trl", "--for", "trl", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "20 rows are in for_trl; for_trl/README.md says how to run it" in done.stdout
    rows = pq.read_table(project / "for_trl" / "data").to_pylist()
    assert [[*row["prompt"], *row["completion"]] for row in rows] == [line["messages"] for line in lines]
    again = smart("export", 20, "smart", "folder", cwd=project)
    assert "is a folder with files in it" in again.stderr


def test_documents_of_rows_alone(project: Path) -> None:
    done = smart("document", 20, "smart", "documents", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "nothing was trained on selected_subset[20|smart] yet" in done.stdout
    assert [path.name for path in (project / "documents").iterdir()] == ["dataset"]
    assert "\x1b" not in (project / "documents" / "dataset" / "README.md").read_text()


def test_hostile_names_are_text_in_the_terminal(project: Path) -> None:
    for arguments in (["tasks"], ["sql", "--json", "SELECT * FROM instances"], ["audit", "task", "plain"]):
        shown = smart(*arguments, cwd=project).stdout
        assert "\x1b" not in shown
        assert "\x07" not in shown
    shown = smart("tasks", cwd=project).stdout
    assert "[red]" in shown
    assert re.search(r"graph_cut\(.*\): at temperature 1 .* equal tasks of 2; `max_tasks: auto` takes 2\n", shown)


def test_the_columns_of_tasks_are_their_rows_and_weights(project: Path) -> None:
    shown = smart("tasks", cwd=project).stdout
    assert re.match(r" *source +task +rows +training +held out +refused +", shown)
    [file] = project.rglob("artifacts/raw_tasks/*/instances.parquet")
    rows = pq.read_table(file).select(["task", "split"]).to_pylist()
    shares: list[list[float]] = []
    for task in ("plain", "[red]red[/red]"):
        counts = [sum(row == {"task": task, "split": split} for row in rows) for split in ("train", "validation")]
        line = re.search(rf"^ *small +{re.escape(task)} +(\d+) +(\d+) +(\d+) +(\d+) +(.*)$", shown, re.MULTILINE)
        assert line is not None
        assert [int(line[number]) for number in (1, 2, 3, 4)] == [sum(counts), *counts, 0]
        shares.append([float(share.rstrip("%")) for share in line[5].split()])
    for recipe in zip(*shares, strict=True):
        assert sum(recipe) == pytest.approx(100, abs=0.02)
    assert len({tuple(share) for share in shares}) == 2, "the tasks' columns do not stand for each other"


def test_the_plan_says_what_is_out_of_date_why_and_what_it_costs(project: Path) -> None:
    assert "finetuned_checkpoint[10|smart]" in smart("plan", cwd=project).stdout
    write_tasks(project / "tasks", {"more": [{"t": "new", **row} for row in rows(4, 5)]})
    shown = smart("plan", cwd=project).stdout
    assert "1 file new: more.jsonl" in shown
    assert "task `new` is new (5 rows)" in shown
    assert "5 rows to embed" in shown
    assert "waiting" in shown
    told = json.loads(smart("plan", "--json", cwd=project).stdout)
    statuses = [step["status"] for step in told["partitions"]]
    assert f"{statuses.count('current')} of {len(statuses)} partitions are up to date" in shown
    costs = {step["asset"]: step["cost"] for step in told["partitions"] if step["cost"]}
    assert costs["prompt_embeddings"]["work"] == {"rows to embed": 5}
    assert told["total"]["work"]["rows to embed"] == 5
    assert told["total"]["seconds"] == pytest.approx(
        sum(step["cost"]["seconds"] or 0 for step in told["partitions"] if step["cost"])
    )


def test_queries_can_be_piped_in(project: Path) -> None:
    done = smart("sql", cwd=project, text="SELECT count(*) AS n\nFROM subsets WHERE budget = 20;\n\nnonsense\n")
    assert done.returncode == 1
    assert done.stdout == "n\n40\n", "two recipes of 20 rows"
    assert done.stderr.startswith("error: Parser Error")


def test_the_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write_project(tmp_path, changes={"store": "smart.yaml/store"})
    done = smart("run", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_encoder_and_an_unknown_base_model_are_named(tmp_path: Path) -> None:
    write_project(tmp_path, changes={"embedding": {"model": "package:no_such_package"}})
    done = smart("run", "--select", "prompt_embeddings", cwd=tmp_path)
    assert done.returncode == 1
    assert "no_such_package" in done.stderr
    write_project(tmp_path, changes={"finetune": {"base_model": "./no-such-model"}})
    done = smart("run", "--select", "base_model_results", cwd=tmp_path)
    assert done.returncode == 1
    assert "no-such-model" in done.stderr
