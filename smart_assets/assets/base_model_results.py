"""`base_model_results`: the base model before any fine-tuning, on the same evaluation as every checkpoint."""

from smart_assets.assets.programs.evaluate_model import evaluate_model, evaluation_parameters, summary_of
from smart_assets.assets.reading.rows import raw_task_inputs
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Inputs, RunContext, StepResult
from smart_assets.settings import Project
from smart_assets.training.base_model import base_model_version

NAME = "base_model_results"
CODE_VERSION = "3"


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: the held-out rows alone: changed training rows leave it current."""
    finetune = project.settings.finetune
    return DesiredState(
        AssetPartition(NAME, partition),
        inputs=raw_task_inputs(project, "validation"),
        parameters=evaluation_parameters(project, base_model_version(finetune.base_model, finetune.revision)),
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `base/`: metrics, rows and samples as Parquet, and `result.json`."""
    cost = evaluate_model(project, inputs, None, out.content / "base", run)
    return StepResult(summary=summary_of(out.content), cost={"base": cost})
