"""`raw_tasks`: a source's accepted instances with their split; origins and rejected rows beside the data version.

Files that did not change since the last materialization are not read again, and known prompts are not compared again:
their rows and signatures come from its artifact. The result is to the byte that of reading everything.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets.parquet import ROW_GROUP, write_table
from smart_assets.assets.records import RawTasksCost, RawTasksParameters, RawTasksSummary
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Inputs, RunContext, StepResult
from smart_assets.core.errors import SmartError, SourceError
from smart_assets.core.progress import Log
from smart_assets.settings import Project
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.hashing import file_sha256, json_version
from smart_assets.tasks import similar_names
from smart_assets.tasks.changes import RowChanges, changes_between, no_changes
from smart_assets.tasks.earlier import Earlier, read_earlier
from smart_assets.tasks.forgotten import Forgotten, refusal_id
from smart_assets.tasks.kept import KEPT_FILE, count_values
from smart_assets.tasks.read_result import INSTANCES, INSTANCES_FILE, NoRowsError, ReadResult
from smart_assets.tasks.reader import ReadOptions, read_source, require_readable
from smart_assets.tasks.signatures import KnownSignatures, SharedScratch, read_signatures, signatures_of
from smart_assets.tasks.source_kind import SourceKind, outside_of
from smart_assets.tasks.tombstones import Tombstones, read_tombstones
from smart_assets.tasks.unread import COLUMNS_FILE, summed_up
from smart_assets.tasks.validation_split import SIDES, split
from smart_assets.tasks.work_pool import work_pool

NAME = "raw_tasks"
CODE_VERSION = "2"
ORIGINS_FOLDER = "origins"
"""The attachment: where rows stood and what is kept of them, those that were rejected, tasks, files."""
WITH_SIDES = pa.schema([*INSTANCES, *SIDES])
PREVIEW_BYTES = 64_000_000  # of changed files that a plan reads at most, to tell what they change


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: files or a dataset outside the store, columns' names and the rule of the split."""
    source = project.settings.sources[str(partition)]
    snapshot = source.snapshot(project.root, _hashes(project, partition))
    outside = outside_of(snapshot.files, snapshot.revision)
    if "" in outside.values() and (manifest := project.store.current(NAME, partition)) is not None:
        require_readable(source.label, manifest.outside, outside)
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=(),
        parameters=RawTasksParameters(
            source=source.parameters(),
            validation=project.settings.validation.model_dump(mode="json"),
            forgotten=_forgotten(read_tombstones(project.store), partition),
            names=json_version(dict(snapshot.names)) if snapshot.names else None,
        ).as_kept(),
        code_version=CODE_VERSION,
        outside=outside,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `instances.parquet` and `signatures.npy`; attach `origins`: places, kept values, rejected rows and more.

    Where no row is accepted the result is refused: its rejected rows stay where people find them.
    """
    source = project.settings.sources[str(partition)]
    forgotten = read_tombstones(project.store).forgotten  # once: a row that comes back meanwhile has no text here
    earlier, known = _earlier(project, partition, forgotten, run.log)
    scratch = out.folder / "scratch"
    scratch.mkdir()
    refused: NoRowsError | None = None
    with work_pool() as pool:
        options = ReadOptions(scratch, _hashes(project, partition), earlier, pool)
        try:
            result = read_source(source, project.root, run.log, options, forgotten)
        except NoRowsError as error:
            result, refused = error.result, error
        for names in similar_names.look_alikes(result.tasks["task"].to_pylist()):
            run.log(f"source {source.label}: {similar_names.in_words(names)}")
        if refused is None:
            _require_own_tasks(project, partition, _with_rows(result.tasks))
        shared = SharedScratch(pool, scratch) if pool.processes > 1 else None
        signatures = signatures_of(result, known, run.log, shared)
    np.save(out.content / "signatures.npy", signatures, allow_pickle=False)
    sides = split(result.rows, signatures, project.settings.validation, run.log)
    del signatures
    held_out = _write_instances(result, sides, out.content / INSTANCES_FILE)
    _write_origins(result, source, out.attachment(ORIGINS_FOLDER), run.log)
    return StepResult(
        summary=_summary(result, sides).as_kept(),
        facets={"validation": held_out_version(held_out)},
        cost=RawTasksCost(
            files_read=len(result.files) - result.files_reused,
            files_reused=result.files_reused,
            rows_read=result.rows_read,
        ).as_kept(),
        refused=refused,
        # A file may have changed since the plan was made.
        outside=result.outside,
    )


def preview(project: Project, partition: str | None, manifest: Manifest) -> RowChanges | None:
    """Return what reading the source now would change in the rows of an earlier materialization; writes no artifact.

    Only files that changed are read. None where it cannot be told cheaply: the source is not read file by file, its
    settings or the code's version changed, the earlier artifact cannot be read, or the files that changed hold more
    than PREVIEW_BYTES.

    Raises:
        SourceError: The source cannot be read; making it fails with the same words.
    """
    source = project.settings.sources[str(partition)]
    if not source.by_file or not _rows_stand(manifest, source):
        return None
    snapshot = source.snapshot(project.root, _hashes(project, partition))
    tombstones = read_tombstones(project.store)
    forgotten = tombstones.forgotten
    try:
        earlier = _read_earlier(project, manifest, forgotten)
    except SmartError:
        return None
    same_forgotten = RawTasksParameters.read(manifest).forgotten == _forgotten(tombstones, partition)
    if manifest.outside == outside_of(snapshot.files, snapshot.revision) and same_forgotten:
        return no_changes(earlier.rows)
    if sum(file.bytes for file in snapshot.files if not earlier.has(file)) > PREVIEW_BYTES:
        return None
    options = ReadOptions(hashes=_hashes(project, partition), earlier=earlier)
    result = read_source(source, project.root, lambda _: None, options, forgotten)
    return changes_between(earlier.rows, result.rows)


def refused_ids(rejected: pa.Table) -> pa.Array:
    """Return the ids by which refused rows are forgotten: those of their excerpts, or of the rows that they repeat."""
    excerpts = rejected["excerpt"].to_pylist()
    known = pa.array([None if excerpt is None else refusal_id(excerpt) for excerpt in excerpts], pa.string())
    return pc.coalesce(known, rejected["id"].combine_chunks()) if "id" in rejected.column_names else known


def held_out_version(held_out: pa.Table) -> str:
    """Return the version of the held-out rows alone, so that a changed training row leaves evaluations current."""
    return json_version(held_out.select(["id", "messages"]).to_pylist())


def _forgotten(tombstones: Tombstones, partition: str | None) -> list[str] | None:
    """Return what of the tombstones concerns the source; None where nothing does."""
    return tombstones.parameter(partition) or None


def _require_own_tasks(project: Project, partition: str | None, tasks: frozenset[str]) -> None:
    """Refuse a task that another source has, too; a source that is to be read again says so itself then.

    Raises:
        SourceError: Another source, as it is now, has rows of one of the tasks.
    """
    for other, source in project.settings.sources.items():
        manifest = None if other == partition else project.store.current(NAME, other)
        if manifest is None or not _rows_stand(manifest, source):
            continue
        try:
            theirs = current_tasks(project.store, manifest)
            if not tasks & theirs or source.state(project.root, _hashes(project, other)) != manifest.outside:
                continue
        except SmartError:  # what cannot be read now is no ground to refuse what can
            continue
        raise SourceError(shared_task(min(tasks & theirs), str(partition), other))


def current_tasks(store: Store, manifest: Manifest) -> frozenset[str]:
    """Return the tasks that have rows in a materialization.

    Raises:
        StoreError: Its origins are not there.
    """
    return _with_rows(pq.read_table(store.folder(manifest.attachments[ORIGINS_FOLDER]) / "tasks.parquet"))


def claimed_tasks(project: Project, partition: str | None) -> frozenset[str]:
    """Return the tasks that a source will have by its files' names; none where a column names them.

    Raises:
        SourceError: The source is missing or cannot be reached.
    """
    source = project.settings.sources[str(partition)]
    if source.columns.task is not None or not source.is_local(project.root):
        return frozenset()
    parts = source.snapshot(project.root, _hashes(project, partition)).parts
    return frozenset(source.task_prefix + part.default_task for part in parts)


def shared_task(task: str, *sources: str) -> str:
    """Say that a task lies in two sources, and what to do."""
    named = " and ".join(f"`{source}`" for source in sources)
    return (
        f"the task `{task}` is in the sources {named}, and a task lies in one: set `task_prefix` for one of them, or "
        "take the task out of one"
    )


def _with_rows(tasks: pa.Table) -> frozenset[str]:
    return frozenset(tasks.filter(pc.greater(tasks["accepted"], 0))["task"].to_pylist())


def _hashes(project: Project, partition: str | None) -> Path:
    # Projects that share a store may give different folders the same name.
    place = json_version(str(project.root / project.settings.sources[str(partition)].label))
    return project.store.cache_folder("file_hashes") / f"{partition}-{place[:8]}.json"


def _rows_stand(manifest: Manifest, source: SourceKind) -> bool:
    """Return whether the rows of unchanged files are what they were: the validation's settings do not count."""
    same = json_version(RawTasksParameters.read(manifest).source) == json_version(source.parameters())
    return same and manifest.code_version == CODE_VERSION


def _earlier(
    project: Project, partition: str | None, forgotten: Forgotten, log: Log
) -> tuple[Earlier | None, KnownSignatures | None]:
    """Return what the current artifact saves of the work, where its files are still what they were when it was made."""
    source = project.settings.sources[str(partition)]
    try:
        manifest = project.store.current(NAME, partition)
        if manifest is None or manifest.code_version != CODE_VERSION:
            return None, None
        for artifact in manifest.artifacts:
            _require_intact(project, artifact)
        known = read_signatures(project.store.artifact(manifest))
        if not source.by_file or not _rows_stand(manifest, source):
            return None, known
        return _read_earlier(project, manifest, forgotten), known
    except SmartError as error:
        log(f"{NAME}[{partition}]: everything is read again, since nothing earlier can be used: {error}")
        return None, None


def _read_earlier(project: Project, manifest: Manifest, forgotten: Forgotten) -> Earlier:
    origins = manifest.attachments.get(ORIGINS_FOLDER)
    if origins is None:
        raise SmartError("its origins were not recorded")
    return read_earlier(project.store.artifact(manifest), project.store.folder(origins), forgotten)


def _require_intact(project: Project, artifact: Artifact) -> None:
    folder = project.store.folder(artifact)
    for file in artifact.files:
        if file_sha256(folder / file.path) != file.sha256:
            raise SmartError(f"{folder / file.path} is not what was written")


def _write_instances(result: ReadResult, sides: pa.Table, path: Path) -> pa.Table:
    """Write the instances, a row group at a time: the bytes are those of `write_table`. Return the held-out rows."""
    held_out = [WITH_SIDES.empty_table().select(["id", "messages"])]
    with pq.ParquetWriter(path, WITH_SIDES, compression="zstd", store_schema=False) as writer:
        for batch, instances in enumerate(result.instances(ROW_GROUP)):
            of_rows = sides.slice(batch * ROW_GROUP, ROW_GROUP).combine_chunks()
            rows = pa.table([*instances.columns, *of_rows.columns], schema=WITH_SIDES)
            writer.write_table(rows, row_group_size=ROW_GROUP)
            held_out.append(rows.filter(pc.equal(rows["split"], "validation")).select(["id", "messages"]))
    return pa.concat_tables(held_out)


def _write_origins(result: ReadResult, source: SourceKind, folder: Path, log: Log) -> None:
    write_table(result.origins.combine_chunks(), folder / "origins.parquet")
    write_table(result.rejected.combine_chunks(), folder / "rejected.parquet")
    write_table(result.tasks, folder / "tasks.parquet")
    write_table(result.columns.combine_chunks(), folder / COLUMNS_FILE)
    counts = count_values(result.kept["kept"], source.columns.kept)
    if counts:
        write_table(result.kept.combine_chunks(), folder / KEPT_FILE)
        values = ", ".join(f"{name} of {count:,} rows" for name, count in counts.items())
        log(f"source {source.label}: kept of {result.kept.num_rows:,} rows: {values}")
    provenance = {
        "revision": result.revision,
        "license": source.license,
        "files": [
            {"path": file.path, "sha256": file.sha256, "bytes": file.bytes, "task": file.task} for file in result.files
        ],
        **({"kept": counts} if counts else {}),
        "not_read": [{"name": file.name, "reason": file.reason} for file in result.not_read],
    }
    (folder / "files.json").write_text(json.dumps(provenance, indent=1), encoding="utf-8")


def _summary(result: ReadResult, sides: pa.Table) -> RawTasksSummary:
    rows, tasks = result.rows, result.tasks
    training = int(pc.sum(pc.equal(sides["split"], "train")).as_py() or 0)
    empty = tasks.filter(pc.equal(tasks["accepted"], 0))["task"].to_pylist()
    return RawTasksSummary(
        rows=rows.num_rows,
        training_rows=training,
        validation_rows=rows.num_rows - training,
        tasks=tasks.num_rows - len(empty),
        templates=rows.group_by(["task", "template"]).aggregate([]).num_rows,
        rejected_rows=result.rejected.num_rows,
        tasks_without_rows=empty,
        not_read=summed_up(result.columns),
    )
