"""A small store of three runs: generations of rows, subsets, checkpoints and evaluations, and budgets that went."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from smart_assets.assets import catalog
from smart_assets.lineage.audit.row_uses import Consumer
from smart_assets.settings import Project
from smart_assets.tasks.rows import content_hash
from smart_assets_tests.support.make import make, run_context
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
    assets = [name for name in catalog.names() if name != "mixture_report"]
    make(project, *assets, run=run_context(Dropping(), run_id=run_id), complete=None)


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


CURRENT = {"10|smart", "10|random", "15|smart", "15|random"}


def id_of(row: dict[str, str]) -> str:
    return content_hash(row["t"], row["prompt"], row["response"])


FIRST = {id_of(row): row for row in first_tasks()}
SECOND = {id_of(row): row for row in second_tasks()}
TWIN = id_of(first_tasks()[7])
HOSTILE_ROW = id_of(first_tasks()[-1])


def manifests(project: Project, asset: str) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Partition, whether it is its state now, and the manifest."""
    for folder in sorted((project.store.root / "manifests" / asset).iterdir()):
        for index, path in enumerate(sorted(folder.iterdir(), reverse=True)):
            manifest = json.loads(path.read_text(encoding="utf-8"))
            yield manifest["partition"], index == 0 and manifest["partition"] in CURRENT, manifest


def subset(project: Project, version: str) -> list[dict[str, Any]]:
    path = project.store.root / "artifacts" / "selected_subset" / version / "subset.parquet"
    return pq.ParquetFile(path).read().to_pylist()


def everything_held(project: Project) -> list[dict[str, Any]]:
    """Every row of every subset and checkpoint, read without any cleverness."""
    found: list[dict[str, Any]] = []
    for partition, current, manifest in manifests(project, "selected_subset"):
        made = (manifest["made"]["at"], manifest["made"]["run_id"], current)
        for row in subset(project, manifest["content_version"]):
            found.append(
                {**row, "holder": ("selected_subset", partition, row["seed"], manifest["content_version"], *made)}
            )
    for partition, current, manifest in manifests(project, "finetuned_checkpoint"):
        made = (manifest["made"]["at"], manifest["made"]["run_id"], current)
        for seed, record in manifest["summary"]["seeds"].items():
            dropped = {row["id"] for row in record["dropped"]}
            for row in subset(project, manifest["inputs"][f"selected_subset[{partition}]"]):
                if row["seed"] in (None, int(seed)) and row["id"] not in dropped:
                    holder = ("finetuned_checkpoint", partition, int(seed), manifest["content_version"], *made)
                    found.append({**row, "holder": holder})
    return found


def flat(holder: Consumer) -> tuple[Any, ...]:
    made = (holder.made_at, holder.run_id, holder.current)
    return (holder.asset, f"{holder.budget}|{holder.recipe}", holder.seed, holder.content_version, *made)
