"""What the rows say about the recipes: scores, differences and budget curves, each with its interval.

Every recipe is compared with the recipes that are the presets `random` and `proportional`, and with the base model, at
each budget; and at each budget with itself at the largest one. Nothing here says more than an interval does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from smart_assets.comparison.differences import (
    Difference,
    RecipeScore,
    measured_models,
    score,
    to_base,
    to_largest,
    to_last,
    to_references,
)
from smart_assets.comparison.intervals import holm_level
from smart_assets.comparison.left_out import LeftOut
from smart_assets.comparison.row_results import COMPARED_METRICS, RowResults, SharedRows, share_rows
from smart_assets.comparison.settings import MARGIN
from smart_assets.comparison.sufficient_budgets import SufficientBudget, sufficient_budgets
from smart_assets.core.formatting import benchmark_title
from smart_assets.core.metrics import HELD_OUT, RowMetric
from smart_assets.mixture.sweeps import Sweep

REFERENCES = ("random", "proportional")
"""Presets that the other recipes are compared with."""


@dataclass(frozen=True, slots=True)
class Family:
    """All that one page claims, of all benchmarks and metrics.

    It compares with recipes and the base model, along sweeps and between budgets. A claim can be wrong by chance, and
    one of many sooner.
    """

    claims: int = 0
    level: float = -1.0  # the largest p that holds corrected for all of them (Holm); below 0: none

    def holds(self, p: float) -> bool:
        """Return whether a claim holds when corrected for all."""
        return p <= self.level


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """One metric over the rows of a benchmark that all models were asked."""

    benchmark: str
    unseen: bool | None  # of held-out tasks; None where no task is unseen, and for other benchmarks
    metric: RowMetric
    tasks: int
    rows: int
    left_out: tuple[LeftOut, ...]  # tasks with rows that not all models were asked, and why
    models_left_out: str  # that were asked none of the rows, and why; in words
    tasks_of_one_row: tuple[str, ...]
    references: Mapping[str, str]  # preset -> recipe, of those that are measured
    scores: tuple[RecipeScore, ...]
    differences: tuple[Difference, ...]  # to other recipes, at one budget
    to_base: tuple[Difference, ...]
    to_largest: tuple[Difference, ...]  # of a recipe at each smaller budget to itself at the largest
    to_last: tuple[Difference, ...]  # of the recipes of a sweep to its last one, at one budget
    sufficient_budgets: tuple[SufficientBudget, ...]  # of the recipes trained at several budgets with two seeds or more
    margin: float  # share of the score at the largest budget by which a smaller one may be worse and be enough
    family: Family = Family()  # of the page

    @property
    def title(self) -> str:
        """Benchmark and metric in words."""
        return f"{benchmark_title(self.benchmark, self.unseen)}: {self.metric.title}"

    @property
    def tasks_left_out(self) -> int:
        """Tasks of which not one row went to all models."""
        return sum(task.whole for task in self.left_out)

    @property
    def rows_left_out(self) -> int:
        """Rows that did not go to all models, of all tasks."""
        return sum(task.rows for task in self.left_out)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets measured, ascending."""
        return tuple(sorted({score.budget for score in self.scores if score.budget is not None}))

    @property
    def all_differences(self) -> tuple[Difference, ...]:
        """Every comparison, each once."""
        differences = (*self.differences, *self.to_base, *self.to_largest, *self.to_last)
        return tuple({each.names: each for each in differences}.values())

    def score(self, budget: int | None, recipe: str | None) -> RecipeScore | None:
        """Return the score of a recipe at a budget (None, None: of the base model), where it was measured."""
        return next((score for score in self.scores if (score.budget, score.recipe) == (budget, recipe)), None)

    def claims(self) -> list[float]:
        """Return the p of everything that is claimed; what was trained once claims nothing."""
        differ = [difference.p for difference in self.all_differences]
        enough = [each.p for sufficient in self.sufficient_budgets for each in sufficient.smaller]
        return [p for p in (*differ, *enough) if isfinite(p)]


@dataclass(frozen=True, slots=True)
class ComparisonSpec:
    """What the rows are asked."""

    references: Mapping[str, str]  # of `REFERENCES`, preset -> the recipe that is this preset
    unseen_tasks: frozenset[str] = frozenset()  # held-out tasks that no mixture was selected from; they stand apart
    sweeps: tuple[Sweep, ...] = ()  # recipes that differ in one parameter alone
    margin: float = MARGIN  # share of a figure at the largest budget by which a smaller one may be worse


def compare_recipes(results: Sequence[RowResults], spec: ComparisonSpec) -> tuple[ComparisonResult, ...]:
    """Return the evidence of each benchmark and metric that rows have, from the results of each evaluated model."""
    return compare_shared_rows(share_rows(results, spec.unseen_tasks), spec)


def compare_shared_rows(parts: Iterable[SharedRows], spec: ComparisonSpec) -> tuple[ComparisonResult, ...]:
    """Return the same, from the rows that all models of each benchmark were asked."""
    results = [
        _result(measured, metric, spec)
        for shared in parts
        for metric in COMPARED_METRICS
        if (measured := shared.measured_by(metric)).tasks
    ]
    p = [each for result in results for each in result.claims()]
    family = Family(len(p), holm_level(p))
    return tuple(replace(each, family=family) for each in results)


def _result(shared: SharedRows, metric: RowMetric, spec: ComparisonSpec) -> ComparisonResult:
    models = measured_models(shared, metric)
    measured = {recipe for _, recipe in models}
    references = {preset: recipe for preset, recipe in spec.references.items() if recipe in measured}
    scores = tuple(score(key, models, metric) for key in models)
    budgets = to_largest(models, metric)
    return ComparisonResult(
        benchmark=shared.benchmark,
        unseen=shared.unseen if spec.unseen_tasks and shared.benchmark == HELD_OUT else None,
        metric=metric,
        tasks=len(shared.tasks),
        rows=shared.rows,
        left_out=shared.left_out,
        models_left_out=shared.models_left_out,
        tasks_of_one_row=tuple(task.task for task in shared.tasks if task.rows == 1),
        references=references,
        scores=scores,
        differences=to_references(models, metric, list(references.values())),
        to_base=to_base(models, metric),
        to_largest=budgets,
        to_last=to_last(models, metric, spec.sweeps),
        sufficient_budgets=sufficient_budgets(budgets, scores, metric, spec.margin),
        margin=spec.margin,
    )
