"""`mixture_report`: what the other assets hold, gathered into one page and its pictures."""

from dataclasses import asdict

from smart_assets.assets import (
    base_model_results,
    eval_results,
    prompt_embeddings,
    raw_tasks,
    selected_subset,
    similarity_index,
    task_scores,
)
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.reading.report_content import gather, preset_recipes
from smart_assets.assets.reading.unseen_tasks import unseen_parameter
from smart_assets.assets.records import ReportSummary
from smart_assets.assets.step import (
    AssetPartition,
    DesiredState,
    Draft,
    Input,
    Inputs,
    RunContext,
    StepResult,
    grid_key,
)
from smart_assets.comparison.comparison_record import comparison_record
from smart_assets.core.metrics import RESPONSE_LOSS
from smart_assets.mixture.sweeps import find_sweeps
from smart_assets.report.page import render_page
from smart_assets.settings import Project

NAME = "mixture_report"
CODE_VERSION = "5"
PAGE = "report.html"


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: all that is there: before any training the page shows the mixtures alone."""
    settings = project.settings
    grid = [grid_key(budget, recipe) for budget in settings.budgets for recipe in settings.recipes]
    inputs = [Input(AssetPartition(task_scores.NAME))]
    for source in settings.sources:
        inputs.append(Input(AssetPartition(raw_tasks.NAME, source)))
        inputs.append(Input(AssetPartition(raw_tasks.NAME, source), facet=ORIGINS_FOLDER))  # rejected rows
        inputs.append(Input(AssetPartition(similarity_index.NAME, source), optional=True))
        # How many prompts are long; the index is of the same vectors.
        inputs.append(Input(AssetPartition(prompt_embeddings.NAME, source), optional=True, counts=False))
    for partition_key in grid:
        inputs.append(Input(AssetPartition(selected_subset.NAME, partition_key), optional=True))
        inputs.append(Input(AssetPartition(eval_results.NAME, partition_key), optional=True))
    inputs.append(Input(AssetPartition(base_model_results.NAME), optional=True))
    return DesiredState(
        AssetPartition(NAME, partition),
        tuple(inputs),
        {
            "title": project.root.name,
            "grid": grid,
            "near_duplicate": settings.index.near_duplicate,
            "compared_with": preset_recipes(settings.recipes),
            "sweeps": [asdict(sweep) for sweep in find_sweeps(settings.recipes)],
            "margin": settings.report.margin,
            **unseen_parameter(project),
        },
        CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `report.html`, which needs nothing else."""
    content = gather(project, inputs)
    page = render_page(content)
    (out.content / PAGE).write_text(page, encoding="utf-8")
    return StepResult(
        summary=ReportSummary(
            tasks=len(content.tasks),
            mixtures=len(content.mixtures),
            evaluated_models=len({(row.budget, row.recipe, row.seed) for row in content.measurements}),
            bytes=len(page.encode()),
            comparisons=[
                comparison_record(result) for result in content.recipe_comparisons if result.metric == RESPONSE_LOSS
            ],
        ).as_kept()
    )
