"""What the UI shows of a checkpoint's making: the audit by its manifests, and the ways to its subset and its page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import dagster as dg
import pyarrow as pa

from smart_assets.assets import selected_subset
from smart_assets.assets.model_records import seeds_of
from smart_assets.assets.step import split_grid_key
from smart_assets.core.errors import SmartError
from smart_assets.defs.tables import table
from smart_assets.documents.audit_pages import AUDIT, page_name
from smart_assets.lineage.model_audit.gather import ModelAudit, audit_by_manifests
from smart_assets.lineage.model_audit.page import audit_command
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks.source_kind import REVISION

OPENING = "A browser opens no file from this page: copy the path into its address bar."


def asset_link(asset: str, partition: str | None) -> dg.UrlMetadataValue:
    """Return a link inside the UI to the materializations of one partition, from the UI's root."""
    query = {"view": "events", **({} if partition is None else {"partition": partition})}
    return dg.MetadataValue.url(f"/assets/{asset}?{urlencode(query)}")


def audit_metadata(project: Project, manifest: Manifest) -> dict[str, Any]:
    """Return the audit of a checkpoint's first seed in tables, from manifests alone, and every seed's page."""
    seeds = seeds_of(manifest)
    shown: dict[str, Any] = {"subset": asset_link(selected_subset.NAME, manifest.partition)}
    try:
        shown |= _summary(audit_by_manifests(project, manifest, seeds[0]))
    except SmartError as error:
        shown["audit"] = f"it cannot be told what this was trained on: {error}"
    return shown | _pages(project, manifest, seeds)


def _summary(audit: ModelAudit) -> dict[str, Any]:
    run, problems = audit.training.get("run_id"), list(audit.problems)
    return {
        "base model": audit.base_model.get("reference") or "not recorded",
        "base model, revision": audit.base_model.get("revision") or "none: told by the hash of its weights",
        "base model, weights (sha256)": audit.base_model.get("weights_sha256") or "not recorded",
        "recipe": dg.MetadataValue.json(_plain(audit.selection.get("recipe", {}))),
        "parameters of the subset": dg.MetadataValue.json(
            _plain({name: value for name, value in audit.selection.items() if name != "recipe"})
        ),
        "parameters of the fine-tuning": dg.MetadataValue.json(_plain(audit.hyperparameters)),
        "sources": table(pa.Table.from_pylist(_sources(audit), _SOURCES)),
        "files of the sources": table(
            pa.Table.from_pylist(
                [{"source": file.source, "file": file.path, "sha256": file.sha256} for file in audit.raw]
            )
        ),
        f"tasks and weights, seed {audit.seed}": table(
            pa.Table.from_pylist(
                [
                    {
                        "task": task.task,
                        "source": task.source,
                        "rows": task.rows,
                        "of": task.size,
                        "weight": task.weight,
                    }
                    for task in audit.tasks
                ],
                _TASKS,
            )
        ),
        "rejected rows": sum(group.rows for group in audit.rejected),
        "chain": table(pa.Table.from_pylist([_link(link) for link in audit.chain], _CHAIN)),
        "git commit": audit.training.get("git_commit") or "the project is no git checkout",
        **({"made by run": dg.MetadataValue.dagster_run(run)} if run else {}),
        **({"not as recorded": dg.MetadataValue.json(problems)} if problems else {}),
    }


_SOURCES = pa.schema(
    [
        ("source", pa.string()),
        ("revision", pa.string()),
        ("licence", pa.string()),
        ("files", pa.int64()),
        ("rejected rows", pa.int64()),
    ]
)
_TASKS = pa.schema(
    [
        ("task", pa.string()),
        ("source", pa.string()),
        ("rows", pa.int64()),
        ("of", pa.int64()),
        ("weight", pa.float64()),
    ]
)
_CHAIN = pa.schema(
    [(name, pa.string()) for name in ("asset", "partition", "content version", "made (UTC)", "code version", "run")]
)


def _sources(audit: ModelAudit) -> list[dict[str, Any]]:
    return [
        {
            "source": name,
            "revision": next(
                (file.sha256 for file in audit.raw if file.source == name and file.path == REVISION), None
            ),
            "licence": licence or "not stated",
            "files": sum(file.source == name and file.path != REVISION for file in audit.raw),
            "rejected rows": sum(group.rows for group in audit.rejected if group.source == name),
        }
        for name, licence in audit.licences.items()
    ]


def _link(link: Any) -> dict[str, Any]:
    return {
        "asset": link.asset,
        "partition": link.partition,
        "content version": link.content_version,
        "made (UTC)": link.made_at,
        "code version": link.code_version,
        "run": link.run_id,
    }


def _pages(project: Project, manifest: Manifest, seeds: Sequence[int]) -> dict[str, Any]:
    budget, recipe = split_grid_key(manifest.partition)
    command = audit_command(budget, recipe, seeds[0])
    attached = manifest.attachments.get(AUDIT)
    if attached is None:
        return {"audit page": f"none was kept with this checkpoint: `{command} --out audit.html` writes one"}
    folder = project.store.folder(attached)
    return {
        **{f"audit page, seed {seed}": dg.MetadataValue.path(str(folder / page_name(seed))) for seed in seeds},
        "to open an audit page": f"{OPENING} Its hashes are those recorded when each artifact was made; "
        f"`{command} --out audit.html` takes all of them again and writes a new one.",
    }


def _plain(value: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(value))
