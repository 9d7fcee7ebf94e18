"""A small store with a past: three generations of rows, subsets, checkpoints and evaluations, and budgets that went."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from smart_assets.assets.step import RunContext
from smart_assets.planning.graph import STEPS, batches, closure, find_partitions
from smart_assets.planning.materialize import materialize
from smart_assets.settings import Project
from smart_assets_tests.support.programs import Programs
from smart_assets_tests.support.projects import rows, write_project

HOSTILE = "<b>x</b>'; DROP TABLE subsets; -- ../../etc [red]"
HOSTILE_TEMPLATE = "t\n\x1b[31m\x9b31m</script>"
HOSTILE_PROMPT = "\x1b]0;title\x07 <script>alert(1)</script> '; --\nrow 0000 of source other"
REASON = "the response has no token"
SETTINGS: dict[str, Any] = {
    "sources": {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}, "license": "CC0"}},
    "finetune": {"base_model": "tiny", "seeds": [0, 1]},
}


class Dropping(Programs):
    """Leaves out the first row of every fine-tune, as a trainer does with a row that does not fit."""

    def __call__(self, arguments: Sequence[str]) -> None:
        super().__call__(arguments)
        if arguments[1] == "smart_assets.training":
            job = json.loads(Path(arguments[2]).read_text(encoding="utf-8"))
            given = pq.read_table(job["rows"], columns=["id", "task"]).to_pylist()
            path = Path(job["out"]) / "result.json"
            result = json.loads(path.read_text(encoding="utf-8"))
            result |= {
                "base_model": result["base_model"] | {"reference": "tiny"},
                "rows": len(given) - 1,
                "dropped": [{"id": given[0]["id"], "reason": REASON}],
                "tasks": dict(Counter(row["task"] for row in given[1:])),
            }
            path.write_text(json.dumps(result), encoding="utf-8")


def first_tasks() -> list[dict[str, str]]:
    made = [{"t": "plain", **row} for row in rows(1, 24, templates=2)]
    made += [{"t": HOSTILE, **row, "template": HOSTILE_TEMPLATE} for row in rows(2, 14)]
    made += [{"t": HOSTILE, "prompt": HOSTILE_PROMPT, "response": "<b>no</b>"}]
    return made


def second_tasks() -> list[dict[str, str]]:
    """Six rows of `plain` went and moved the others, four responses changed, five rows came."""
    made = first_tasks()[6:]
    for row in made[20:24]:
        row["response"] += " changed"
    return made + [{"t": "new task", **row} for row in rows(3, 5)]


def run_all(project: Project, run_id: str) -> None:
    """Make everything but the report."""
    run = RunContext(log=lambda _: None, launch=Dropping(), device="cpu", run_id=run_id)
    keys = closure(project, find_partitions(project, [name for name in STEPS if name != "mixture_report"]))
    for batch in batches(project):
        for key in batch:
            if key in keys:
                materialize(project, key, run)


def make_past(root: Path) -> Project:
    """Run `run-1` makes budgets 10 and 20; `run-2` other rows; `run-3` budgets 10 and 15, so 20 is of the past."""
    twin = {**first_tasks()[7], "template": "of the twin"}
    project = write_project(root, {"all": first_tasks(), "twins": [twin]}, SETTINGS)
    run_all(project, "run-1")
    project = write_project(root, {"all": second_tasks()}, SETTINGS)
    run_all(project, "run-2")
    project = write_project(root, {"all": second_tasks()}, {**SETTINGS, "budgets": [10, 15]})
    run_all(project, "run-3")
    return project
