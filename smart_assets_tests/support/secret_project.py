"""A small project with a secret in its rows: it forgets some of them, and every file of its store is searched."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.assets import catalog
from smart_assets.forgetting.find import ForgetRequest
from smart_assets.forgetting.tombstone import Forgetting, forget
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.settings import Project
from smart_assets_tests.support.make import made_again, make, run_context
from smart_assets_tests.support.plans import whole_plan
from smart_assets_tests.support.programs import Programs
from smart_assets_tests.support.projects import rows, write_project

SECRET = "call Ann on 555-0199"
BECAUSE = "she asked for it <b>"
PARTITION = "20|smart"


class Parrot(Programs):
    """Evaluates a model that answers every held-out row with its response."""

    def __call__(self, arguments: Sequence[str]) -> None:
        super().__call__(arguments)
        if arguments[1] == "smart_assets.evaluation":
            job = json.loads(Path(arguments[2]).read_text(encoding="utf-8"))
            answers = {row["id"]: row["response"] for row in pq.read_table(job["rows"]).to_pylist()}
            path = Path(job["out"]) / "rows.parquet"
            table = pq.read_table(path)
            told = pa.array([answers[id_] for id_ in table["id"].to_pylist()], pa.string())
            at = table.column_names.index("prediction")
            pq.write_table(table.set_column(at, "prediction", told), path)


def tasks() -> dict[str, list[dict[str, Any]]]:
    alpha = [{"t": "alpha", **row} for row in rows(1, 24, templates=2)]
    alpha[3]["prompt"] += f" {SECRET}"
    alpha[7]["response"] = SECRET.upper()
    alpha[3]["by"] = f"{SECRET} herself"
    beta = [{"t": "beta", **row} for row in rows(2, 14)]
    gamma = [{"t": "gamma", **row} for row in rows(3, 9)]
    bad = [{"t": "beta", "prompt": f"{SECRET}?", "response": ""}]
    return {"all": alpha + beta + bad, "more": [*gamma, {**alpha[3], "template": "of the twin"}]}


def run_all(project: Project, report: bool = False) -> list[str]:
    """Make everything, with or without the report and its pictures; gives what was not current."""
    assets = [name for name in catalog.names() if report or name != "mixture_report"]
    return made_again(make(project, *assets, run=run_context(Parrot(), run_id="run-1"), complete=None))


def instances(project: Project) -> list[dict[str, Any]]:
    manifest = project.store.current("raw_tasks", "small")
    assert manifest is not None
    return pq.read_table(project.store.artifact(manifest) / "instances.parquet").to_pylist()


def subset_ids(project: Project) -> list[str]:
    manifest = project.store.current("selected_subset", PARTITION)
    assert manifest is not None
    return pq.read_table(project.store.artifact(manifest) / "subset.parquet")["id"].to_pylist()


def forgotten(project: Project, find: Callable[[AuditReader], ForgetRequest], dry_run: bool = False) -> Forgetting:
    reader = AuditReader(project)
    return forget(project, reader, find(reader), BECAUSE, dry_run)


def texts_in(path: Path) -> Iterator[str]:
    """Everything in a file that could be read as text."""
    if path.suffix == ".parquet":
        for column in pq.read_table(path).columns:
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                yield from (value for value in column.to_pylist() if value is not None)
    yield path.read_bytes().decode("utf-8", "ignore")


def files_with(text: str, folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(text.lower() in found.lower() for found in texts_in(path))
    ]


def vectors_like(vector: np.ndarray, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("vectors.npy") if (np.load(path, allow_pickle=False) @ vector > 0.9999).any()]


def vector_of(project: Project, id_: str) -> np.ndarray:
    manifest = project.store.current("prompt_embeddings", "small")
    assert manifest is not None
    folder = project.store.artifact(manifest)
    place = pq.read_table(folder / "rows.parquet")["id"].to_pylist().index(id_)
    return np.load(folder / "vectors.npy", allow_pickle=False)[place]


def current_folders(project: Project) -> list[Path]:
    found: list[Path] = []
    for step in whole_plan(project).values():
        manifest = project.store.current(step.key.asset, step.key.partition)
        assert manifest is not None
        found += [project.store.folder(one) for one in manifest.artifacts]
    return found


def make_secret_project(root: Path) -> Project:
    sources = {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t", "keep": ["by"]}}}
    changes = {"sources": sources, "budgets": [20], "finetune": {"base_model": "tiny"}}
    project = write_project(root, tasks(), changes)
    run_all(project)
    return project
