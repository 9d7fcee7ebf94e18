"""The store of `past.py`, read manifest by manifest and subset by subset."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from smart_assets.lineage.audit.holders import Holder
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks.rows import content_hash
from smart_assets_tests.support.past import first_tasks, second_tasks

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


def flat(holder: Holder) -> tuple[Any, ...]:
    made = (holder.made_at, holder.run_id, holder.current)
    return (holder.asset, f"{holder.budget}|{holder.recipe}", holder.seed, holder.content_version, *made)


def current(project: Project, asset: str, partition: str | None) -> Manifest:
    manifest = project.store.current(asset, partition)
    assert manifest is not None
    return manifest
