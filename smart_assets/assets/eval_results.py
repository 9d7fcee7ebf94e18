"""`eval_results`: what lm-eval measures on a checkpoint, once for each of its seeds."""

from smart_assets.assets import finetuned_checkpoint
from smart_assets.assets.programs.evaluate_model import evaluate_model, evaluation_parameters, summary_of
from smart_assets.assets.reading.rows import raw_task_inputs
from smart_assets.assets.step import (
    SEED_FOLDERS,
    AssetPartition,
    DesiredState,
    Draft,
    Input,
    Inputs,
    RunContext,
    StepResult,
)
from smart_assets.settings import Project

NAME = "eval_results"
CODE_VERSION = "3"


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the checkpoint and the held-out rows of all sources."""
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=(
            Input(AssetPartition(finetuned_checkpoint.NAME, partition)),
            *raw_task_inputs(project, "validation"),
        ),
        parameters=evaluation_parameters(project),
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `seed-N/` for every seed of the checkpoint: metrics, rows and samples as Parquet, and `result.json`."""
    checkpoint = inputs.folder(finetuned_checkpoint.NAME, partition)
    cost = {
        folder.name: evaluate_model(project, inputs, folder, out.content / folder.name, run)
        for folder in sorted(checkpoint.glob(SEED_FOLDERS))
    }
    return StepResult(summary=summary_of(out.content), cost=cost)
