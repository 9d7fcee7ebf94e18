"""`finetuned_checkpoint`: the base model fine-tuned on a subset, once for each seed, by a program of its own.

Each seed's fine-tune is a job keyed by all that decides its weights. Its steps are saved under the key, so that a run
that was killed goes on where it was; and a seed that the current checkpoint has already is taken from it.
"""

import os
import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import selected_subset
from smart_assets.assets.model_records import (
    CheckpointParameters,
    CheckpointSummary,
    TrainingCost,
    TrainingRecord,
    by_seed,
    training_costs,
)
from smart_assets.assets.parquet import write_table
from smart_assets.assets.programs.job_folder import Workplace, workplace
from smart_assets.assets.programs.program import run_program
from smart_assets.assets.reading.rows import TEXT_COLUMNS, raw_task_inputs, read_training_rows, rows_in_order
from smart_assets.assets.step import (
    AssetPartition,
    DesiredState,
    Draft,
    Input,
    Inputs,
    RunContext,
    StepResult,
    seed_folder,
)
from smart_assets.core.errors import SelectionError, StoreError
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.hashing import file_sha256, json_version
from smart_assets.tasks.tombstones import read_tombstones
from smart_assets.training.base_model import base_model_version
from smart_assets.training.job import TrainingJob
from smart_assets.training.settings import NOT_CONTENT

NAME = "finetuned_checkpoint"
CODE_VERSION = "3"
BOARD = "tensorboard"
AUDIT = "audit"
"""The attachment of pages for auditors, `seed-N.html`. They hold times, and so are no content."""
LOSSES = pa.schema(
    [("step", pa.int64()), ("loss", pa.float64()), ("learning_rate", pa.float64()), ("tokens", pa.int64())]
)
# The base model counts by its content.
_BY_CONTENT = {"base_model", "revision"}


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the subset and the base model.

    The texts are in the subset's version: an id is a hash of its row.
    """
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=(Input(AssetPartition(selected_subset.NAME, partition)), *raw_task_inputs(project, counts=False)),
        parameters=_parameters(project).as_kept(),
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `seed-N/` for every seed: `model/` or `adapter/` (safetensors), `loss.parquet`, `result.json`.

    What TensorBoard shows becomes the attachment `tensorboard`: its files hold times, and so are no content.
    """
    subset = pq.read_table(inputs.folder(selected_subset.NAME, partition) / "subset.parquet")
    _require_none_forgotten(project, partition, subset)
    texts = read_training_rows(project, inputs, subset["id"])
    earlier = project.store.current(NAME, partition)
    seeds = project.settings.finetune.seeds
    costs: dict[int, TrainingCost] = {}
    used: list[Workplace] = []
    with ExitStack() as on_error:
        for seed in seeds:
            rows = rows_in_order(texts, rows_of_seed(subset, seed)["id"].to_pylist())
            rows_path = out.folder / f"rows-{seed}.parquet"
            write_table(rows.select(TEXT_COLUMNS), rows_path)
            key = _key(project, rows_path, seed, run.device)
            figures = _taken_over(project, earlier, seed, key, out)
            if figures is None:
                run.log(f"{NAME}[{partition}]: fine-tuning on {rows.num_rows} rows, seed {seed}")
                used.append(workplace(project.store.cache_folder("training"), key, out.folder))
                on_error.callback(used[-1].leave)
                figures = _fine_tune(_job(project, rows_path, seed, run.device, used[-1]), out, run)
            else:
                run.log(f"{NAME}[{partition}]: seed {seed} is what it was: taken over")
            costs[seed] = figures.model_copy(update={"job": key})
        on_error.pop_all()
    results = {seed: _result(out.content / seed_folder(seed)) for seed in seeds}
    return StepResult(
        summary=CheckpointSummary(rows=subset.num_rows, seeds=results).as_kept(),
        cost=by_seed(costs),
        recorded=partial(_clear, used),
    )


def _result(folder: Path) -> TrainingRecord:
    return TrainingRecord.model_validate_json((folder / "result.json").read_bytes())


def _require_none_forgotten(project: Project, partition: str | None, subset: pa.Table) -> None:
    forgotten = read_tombstones(project.store).forgotten
    count = pc.sum(forgotten.covers(subset["id"], subset["task"])).as_py() if forgotten else 0
    if count:
        raise SelectionError(
            f"selected_subset[{partition}] holds {count:,} rows that are to be forgotten, and nothing is trained on "
            f"them: `smart run --select 'finetuned_checkpoint[{partition}]'` selects anew first"
        )


def rows_of_seed(subset: pa.Table, seed: int) -> pa.Table:
    """Return the rows that one seed trains on.

    Its own row set where rows are drawn at random, else the one there is.
    """
    return subset.filter(pc.fill_null(pc.equal(subset["seed"], seed), True))


def _parameters(project: Project) -> CheckpointParameters:
    """Everything of `smart.yaml` that decides the weights."""
    finetune = project.settings.finetune
    unused = {"lora", "merge"} if finetune.method == "full" else set[str]()
    return CheckpointParameters(
        finetune=finetune.model_dump(mode="json", exclude={*NOT_CONTENT, *_BY_CONTENT, *unused}),
        base_model=base_model_version(finetune.base_model, finetune.revision),
    )


def _processes(project: Project, device: str) -> int:
    """Return how many processes train: one for each GPU that `smart.yaml` gives an asset."""
    return 1 if device == "cpu" else project.settings.gpu.count


def _key(project: Project, rows: Path, seed: int, device: str) -> str:
    """Return the version of one seed's job."""
    parameters = _parameters(project).as_kept()
    del parameters["finetune"]["seeds"]
    computed_on = [device.partition(":")[0], _processes(project, device)]
    return json_version([parameters, file_sha256(rows), seed, computed_on, CODE_VERSION])


def _job(project: Project, rows: Path, seed: int, device: str, place: Workplace) -> TrainingJob:
    return TrainingJob(
        rows=rows,
        out=place.folder / "out",
        model_cache=project.store.cache_folder("models"),
        finetune=project.settings.finetune,
        seed=seed,
        device=device,
        processes=_processes(project, device),
    )


def _fine_tune(job: TrainingJob, out: Draft, run: RunContext) -> TrainingCost:
    """Run the program, unless a killed run left its work done, and link what it made; return what it cost."""
    if not (job.out / "result.json").exists():
        run_program(run, "smart_assets.training", partial(TrainingJob.write, job), job.out)
    shutil.copytree(
        job.out,
        out.content / seed_folder(job.seed),
        ignore=shutil.ignore_patterns("timing.json", BOARD),
        copy_function=os.link,
    )
    if (job.out / BOARD).exists():
        shutil.copytree(job.out / BOARD, _board(out) / seed_folder(job.seed))
    return TrainingCost.model_validate_json((job.out / "timing.json").read_bytes())


def _clear(used: list[Workplace]) -> None:
    for place in used:
        place.clear()


def _board(out: Draft) -> Path:
    folder = out.attached / BOARD
    return folder if folder.exists() else out.attachment(BOARD)


def _taken_over(project: Project, earlier: Manifest | None, seed: int, key: str, out: Draft) -> TrainingCost | None:
    """Copy a seed of the current checkpoint where it is the same job's and still what was written; return its cost."""
    figures = None if earlier is None else training_costs(earlier).get(seed)
    if earlier is None or figures is None or figures.job != key:
        return None
    name = seed_folder(seed)
    try:
        made = project.store.artifact(earlier)
    except StoreError:
        return None
    files = [file for file in earlier.files if Path(file.path).parts[0] == name]
    if any(file_sha256(made / file.path) != file.sha256 for file in files):
        return None
    shutil.copytree(made / name, out.content / name)
    board = earlier.attachments.get(BOARD)
    if board is not None and (shown := project.store.folder(board) / name).exists():
        shutil.copytree(shown, _board(out) / name)
    return figures.model_copy(update={"reused": True})
