"""The audit of one model, gathered from manifests and artifacts, as one value that JSON and the page show alike."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from smart_assets.assets import catalog, finetuned_checkpoint, raw_tasks, selected_subset
from smart_assets.assets.model_records import CheckpointSummary, TrainingRecord, training_costs
from smart_assets.assets.step import seed_folder, split_grid_key
from smart_assets.core.errors import SmartError, StoreError
from smart_assets.core.progress import Log
from smart_assets.lineage.history import History, history_of, read_history
from smart_assets.lineage.model_audit.chain import Link, RawFile, link_of, raw_files, walk
from smart_assets.lineage.model_audit.rows import (
    KEPT_COLUMN,
    ROWS,
    AuditedTask,
    ForgottenRow,
    Rejection,
    audited_tasks,
    forgotten_rows,
    rejections,
    trained_rows,
)
from smart_assets.lineage.model_audit.target import Target, find_target
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.inventory import recorded
from smart_assets.store.records import Circumstances
from smart_assets.training.settings import UNRECORDED_LOSS


@dataclass(frozen=True, slots=True)
class ModelAudit:
    """All that is known of one model's making."""

    project: str
    budget: int
    recipe: str
    seed: int
    content_version: str
    current: bool  # the newest checkpoint of its budget and recipe
    hashed_at: str | None  # when all hashes were taken again, ISO 8601, UTC; None where they are those recorded
    path: str  # of the weights
    base_model: Mapping[str, Any]  # reference, revision, weights_sha256
    hyperparameters: Mapping[str, Any]
    selection: Mapping[str, Any]  # the recipe and what else decided the subset
    training: Mapping[str, Any]  # rows, steps, losses, tokens, precision, device, time, run
    truncated: tuple[str, ...]  # ids of rows that lost part of their prompt
    dropped: tuple[Mapping[str, str], ...]  # id and reason of rows that could not be trained on
    licences: Mapping[str, str | None]  # source -> licence, as smart.yaml says now
    chain: tuple[Link, ...]  # itself first
    raw: tuple[RawFile, ...]
    problems: tuple[str, ...]  # everything that is not as it was recorded
    tasks: tuple[AuditedTask, ...]
    rejected: tuple[Rejection, ...]
    forgotten: tuple[ForgottenRow, ...]  # rows of its training that were forgotten since
    rows: pa.Table  # ROWS, and `kept` where a row has kept values: an object as JSON
    subset: str  # version of its rows

    @property
    def has_kept(self) -> bool:
        """Whether rows are shown with what is kept of them."""
        return KEPT_COLUMN in self.rows.column_names

    def without_kept(self) -> "ModelAudit":
        """Return the audit without what is kept of rows: what cannot be redacted must not hold it."""
        return replace(self, rows=self.rows.select(ROWS))

    def as_json(self) -> dict[str, Any]:
        """Return the whole audit as JSON values, a row a list of `ROWS`."""
        listed = [list(values) for values in zip(*self.rows.to_pydict().values(), strict=True)]
        parts = {name: getattr(self, name) for name in self.__slots__ if name not in ("rows", "subset")}
        shown = {name: _plain(value) for name, value in parts.items()}
        return shown | {"row_columns": self.rows.column_names, "rows": listed}


def audit_model(project: Project, names: Sequence[str], seed: int | None, log: Log) -> ModelAudit:
    """Gather the audit of a model; every hash on the way is taken again.

    Args:
        project: whose store is read.
        names: as `find_target` understands them.
        seed: which fine-tune of the checkpoint.
        log: told what takes a while.

    Raises:
        SmartError: there is no such model, or what it was trained on is not in the store any more.
    """
    history = read_history(project)
    problems = [f"the manifest {item.path} cannot be relied on: {item.problem}" for item in history.unreadable]
    try:
        target = find_target(project, history, names, seed)
    except SmartError as error:
        raise _with(error, problems) from error
    log("reading and hashing everything that the model was made from")
    return _audit(project, target, _chain(project, target, history, problems, hashed=True))


def audit_by_manifests(project: Project, manifest: Manifest, seed: int) -> ModelAudit:
    """Gather the audit of a seed of a partition's newest checkpoint from what was recorded: no hash is taken again.

    Args:
        project: whose store is read.
        manifest: of the checkpoint; it need not be in the store yet.
        seed: which fine-tune of it.

    Raises:
        SmartError: what it was trained on is not in the store any more.
    """
    history = history_of(recorded(project.store, catalog.ancestors(finetuned_checkpoint.NAME)))
    target = Target(manifest, seed, current=True)
    return _audit(project, target, _chain(project, target, history, [], hashed=False))


@dataclass(frozen=True, slots=True)
class _Chain:
    """All that a model was made from."""

    manifests: list[Manifest]  # the checkpoint's first
    links: list[Link]
    raw: list[RawFile]
    problems: list[str]
    hashed_at: str | None


def _chain(project: Project, target: Target, history: History, problems: Sequence[str], hashed: bool) -> _Chain:
    manifests, lost = walk(target.manifest, history)
    links = [link_of(project.store, manifest, hashed) for manifest in manifests]
    raw = [file for made in manifests if made.asset == raw_tasks.NAME for file in raw_files(project, made, hashed)]
    every_problem = [*problems, *(problem for link in links for problem in link.problems), *lost]
    return _Chain(
        manifests, links, raw, every_problem, datetime.now(UTC).isoformat(timespec="seconds") if hashed else None
    )


def _with(error: SmartError, problems: Sequence[str]) -> SmartError:
    """Return an error that also names what of the store cannot be relied on."""
    return SmartError("\n".join([str(error), *problems]))


def _audit(project: Project, target: Target, chain: _Chain) -> ModelAudit:
    manifest, store = target.manifest, project.store
    budget, recipe = split_grid_key(manifest.partition)
    result = CheckpointSummary.read(manifest).seeds[target.seed]
    subset = next((manifest for manifest in chain.manifests if manifest.asset == selected_subset.NAME), None)
    sources = [manifest for manifest in chain.manifests if manifest.asset == raw_tasks.NAME]
    if subset is None:
        error = SmartError(f"the subset that {manifest.partition} was trained on has no manifest in the store any more")
        raise _with(error, chain.problems)
    try:
        rows = trained_rows(store, subset, sources, target.seed, result)
        tasks = audited_tasks(store, subset, rows)
        rejected = [rejection for source in sources for rejection in rejections(store, source)]
        forgotten = forgotten_rows(store, rows)
    except (StoreError, OSError, pa.ArrowException) as error:
        raise _with(SmartError(f"the rows of this model cannot be read: {error}"), chain.problems) from error
    folder = store.artifact_folder(manifest.asset, manifest.content_version) / seed_folder(target.seed)
    return ModelAudit(
        project=project.root.name,
        budget=budget,
        recipe=recipe,
        seed=target.seed,
        content_version=manifest.content_version,
        current=target.current,
        hashed_at=chain.hashed_at,
        path=str(folder),
        base_model=result.base_model.as_kept(),
        hyperparameters={"loss": UNRECORDED_LOSS, **result.hyperparameters},
        selection=subset.parameters,
        training=_training(manifest, target.seed, result),
        truncated=tuple(result.truncated),
        dropped=tuple(row.as_kept() for row in result.dropped),
        licences={str(source.partition): _licence(project, str(source.partition)) for source in sources},
        chain=tuple(chain.links),
        raw=tuple(chain.raw),
        problems=tuple(chain.problems + _unlike(folder / "result.json", result.as_kept())),
        tasks=tuple(tasks),
        rejected=tuple(rejected),
        forgotten=tuple(forgotten),
        rows=rows,
        subset=subset.content_version,
    )


def _training(manifest: Manifest, seed: int, result: TrainingRecord) -> dict[str, Any]:
    """Return what the fine-tune says of itself, and when and where it ran."""
    of_the_seed = (
        "rows",
        "steps",
        "response_tokens",
        "final_loss",
        "mean_last_losses",
        "precision",
        "device",
        "processes",
    )
    of_the_checkpoint = ("at", "run_id", "git_commit", "python", "machine", "settings_version")
    circumstances, cost = Circumstances.read(manifest), training_costs(manifest).get(seed)
    return {
        **{name: getattr(result, name) for name in of_the_seed},
        **{name: getattr(circumstances, name) for name in of_the_checkpoint},
        **(cost.model_dump(include={"hardware", "threads"}, exclude_none=True) if cost else {}),
    }


def _licence(project: Project, source: str) -> str | None:
    settings = project.settings.sources.get(source)
    return None if settings is None else settings.license


def _unlike(path: Any, recorded_result: Mapping[str, Any]) -> list[str]:
    """Hold what a manifest says of the fine-tune against the artifact's record.

    A manifest carries no sum over itself.
    """
    try:
        in_file = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []  # the file is missing or damaged, which its hash tells
    return [] if in_file == recorded_result else [f"the manifest says otherwise than {path}: one of them was changed"]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, tuple):
        return [asdict(item) if hasattr(item, "__dataclass_fields__") else item for item in value]
    return value
