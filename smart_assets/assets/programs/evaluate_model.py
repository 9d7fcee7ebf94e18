"""What the base model's and the checkpoints' evaluations share: the job, its parameters, and a summary of results."""

from functools import partial
from pathlib import Path
from typing import Any

from smart_assets.assets.model_records import EvaluationParameters
from smart_assets.assets.parquet import write_table
from smart_assets.assets.programs.program import run_program, take_timing
from smart_assets.assets.reading.rows import TEXT_COLUMNS, read_split
from smart_assets.assets.reading.unseen_tasks import unseen_parameter
from smart_assets.assets.step import Inputs, RunContext
from smart_assets.core.errors import EvaluationError
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.recorded import RecordedEvaluation
from smart_assets.evaluation.task_collections import collections_state
from smart_assets.settings import Project
from smart_assets.store.hashing import json_version
from smart_assets.tasks.files import folder_state
from smart_assets.training.settings import PromptSettings

# Places, what has a parameter of its own, and what changes no figure.
_NOT_CONTENT = {"batch_size", "include_path", "unseen_tasks", "collections", "local_data"}


def evaluation_parameters(project: Project, base_model: str | None = None) -> dict[str, Any]:
    """Everything of `smart.yaml` that decides an evaluation's figures."""
    evaluate = project.settings.evaluate
    include = Path(evaluate.include_path) if evaluate.include_path else None
    hashes = project.store.cache_folder("file_hashes")
    others: dict[str, Any] = {
        "include": folder_state(include, hashes / "evaluate.include_path.json") if include else {},
        "local_data": {
            name: folder_state(Path(folder), hashes / f"evaluate.local_data-{json_version(folder)[:8]}.json")
            for name, folder in evaluate.local_data.items()
        },
        **project.settings.finetune.model_dump(mode="json", include=set(PromptSettings.model_fields)),
        "precision": project.settings.finetune.precision,
        "max_length": project.settings.finetune.max_length,
    }
    return EvaluationParameters(
        evaluate=evaluate.model_dump(mode="json", exclude=_NOT_CONTENT) | unseen_parameter(project),
        collections=collections_state(evaluate, hashes),
        base_model=base_model,
        **others,
    ).as_kept()


def evaluate_model(
    project: Project, inputs: Inputs, checkpoint: Path | None, out: Path, run: RunContext
) -> dict[str, Any]:
    """Evaluate one model (the base model where `checkpoint` is None) into the folder `out`; gives what it cost."""
    held_out = read_split(project, inputs, "validation").sort_by([("task", "ascending"), ("id", "ascending")])
    evaluate, finetune = project.settings.evaluate, project.settings.finetune
    if evaluate.held_out and not held_out.num_rows:
        raise EvaluationError(
            "no row is held out to evaluate on: raise `validation.fraction` or `validation.max_rows_per_task`, "
            "or set `evaluate.held_out: false` and name `evaluate.collections` or lm-eval tasks under `evaluate.tasks`"
        )
    rows = out.parent.parent / f"held-out-{out.name}.parquet"
    write_table(held_out.select(TEXT_COLUMNS), rows)
    model = _existing(checkpoint, "model")
    job = EvaluationJob(
        model=model,
        adapter=_existing(checkpoint, "adapter") if model is None else None,
        base_model=finetune.base_model if model is None else None,
        revision=finetune.revision,
        trust_remote_code=finetune.trust_remote_code,
        model_cache=project.store.cache_folder("models"),
        cache=project.store.cache_folder("evaluation"),
        rows=rows if evaluate.held_out else None,
        out=out,
        evaluate=evaluate,
        prompt_format=finetune.prompt_format,
        system_turns=finetune.system_turns,
        template_date=finetune.template_date,
        precision=finetune.precision,
        max_length=finetune.max_length,
        device=run.device,
    )
    run.log(f"evaluating {'the base model' if checkpoint is None else checkpoint.name} on {held_out.num_rows} rows")
    run_program(run, "smart_assets.evaluation", partial(EvaluationJob.write, job), out)
    return take_timing(out)


def _existing(checkpoint: Path | None, name: str) -> Path | None:
    folder = checkpoint and checkpoint / name
    return folder if folder and folder.exists() else None


def summary_of(content: Path) -> dict[str, Any]:
    """Return the macro means of each evaluated model of an artifact, by the name of its folder."""
    folders = sorted(path.parent for path in content.glob("*/result.json"))
    return {folder.name: RecordedEvaluation(folder).result for folder in folders}
