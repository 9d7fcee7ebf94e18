"""Models beside each other, like with like: one metric of one benchmark over the tasks that every run measured.

A mean over different tasks compares nothing, so a task that any run lacks is left out of all, and named with the cause
(`left_out`). Means are macro means: a task counts once, whatever its rows.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.left_out import LeftOut, ModelCoverage, left_out, model_name
from smart_assets.comparison.measurement import Measurement
from smart_assets.core.formatting import benchmark_title
from smart_assets.core.metrics import HELD_OUT, RESPONSE_LOSS, Direction, Metric, agreed, recorded_metric


@dataclass(frozen=True, slots=True)
class EvaluatedSeed:
    """One evaluated checkpoint."""

    budget: int
    recipe: str
    seed: int | None
    values: NDArray[np.float64]  # (n,), a value a shared task
    trained: NDArray[np.bool_]  # (n,), the task had rows in the subset

    @property
    def mean(self) -> float:
        """Macro mean over the tasks."""
        return float(self.values.mean())


@dataclass(frozen=True, slots=True)
class RecipeMeans:
    """A recipe at a budget: mean over its seeds, and the lowest and highest seed."""

    recipe: str
    runs: tuple[EvaluatedSeed, ...]

    @property
    def seed_means(self) -> list[float]:
        """The macro mean of each seed."""
        return [run.mean for run in self.runs]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.seed_means))

    @property
    def task_values(self) -> NDArray[np.float64]:
        """Mean over the seeds of each task, (n,)."""
        return np.mean([run.values for run in self.runs], axis=0)

    def mean_where(self, trained: bool) -> float | None:
        """Return the mean over the tasks with (or without) rows in the subset, all seeds together, if there are any."""
        values = np.concatenate([run.values[run.trained == trained] for run in self.runs])
        return float(values.mean()) if len(values) else None


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """All runs, and the base model where it was measured, over the tasks they share."""

    benchmark: str
    unseen: bool | None  # of held-out tasks; None where no task is unseen, and for other benchmarks
    metric: Metric
    tasks: tuple[str, ...]  # n of them, sorted
    left_out: tuple[LeftOut, ...]  # tasks that not every run measured, and why
    runs: tuple[EvaluatedSeed, ...]
    base: NDArray[np.float64] | None  # (n,)

    @property
    def title(self) -> str:
        """Benchmark and metric in words."""
        return f"{benchmark_title(self.benchmark, self.unseen)}: {self.metric.title}"

    @property
    def tasks_left_out(self) -> int:
        """How many tasks not every run measured."""
        return len(self.left_out)

    @property
    def base_mean(self) -> float | None:
        """Macro mean of the base model."""
        return None if self.base is None else float(self.base.mean())

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets measured, ascending."""
        return tuple(sorted({run.budget for run in self.runs}))

    def standings(self, budget: int) -> tuple[RecipeMeans, ...]:
        """Return the recipes at a budget, best mean first (NaN last), equals by name; by name where none is better."""
        recipes = sorted({run.recipe for run in self.runs if run.budget == budget})
        by_name = [
            RecipeMeans(name, tuple(r for r in self.runs if (r.budget, r.recipe) == (budget, name))) for name in recipes
        ]
        if not self.metric.direction.is_known:
            return tuple(by_name)
        losses = self.metric.as_loss(np.array([standing.mean for standing in by_name]))
        return tuple(by_name[place] for place in np.argsort(losses, kind="stable"))  # NaN sorts last

    def standing(self, budget: int, recipe: str) -> RecipeMeans | None:
        """Return the recipe at the budget, or None where it was not measured."""
        return next((means for means in self.standings(budget) if means.recipe == recipe), None)


def compare_shared_tasks(
    measurements: Sequence[Measurement],
    unseen_tasks: Collection[str] = (),
    evaluated: Mapping[tuple[int | None, str | None], str] | None = None,
) -> tuple[TaskComparison, ...]:
    """Return a comparison for each benchmark and metric: held-out response loss first, then the rest of held-out.

    Where some held-out tasks are unseen, seen and unseen ones are compared apart. `evaluated` says when each budget and
    recipe was (ISO 8601): it tells why a task is left out.
    """
    parts: dict[tuple[str, str, bool], list[Measurement]] = {}
    for row in measurements:
        unseen = row.benchmark == HELD_OUT and row.task in unseen_tasks
        parts.setdefault((row.benchmark, row.metric, unseen), []).append(row)
    places = {pair: place for place, pair in enumerate(dict.fromkeys(part[:2] for part in parts))}
    ordered = sorted(
        parts,
        key=lambda part: (
            part[:2] != (HELD_OUT, RESPONSE_LOSS.name),
            part[0] != HELD_OUT,
            places[part[:2]],
            part[2],
        ),
    )
    return tuple(
        _comparison(
            part[0], part[2] if unseen_tasks and part[0] == HELD_OUT else None, part[1], parts[part], evaluated or {}
        )
        for part in ordered
    )


def _comparison(
    benchmark: str,
    unseen: bool | None,
    metric: str,
    rows: Sequence[Measurement],
    evaluated: Mapping[tuple[int | None, str | None], str],
) -> TaskComparison:
    runs: dict[tuple[int | None, str | None, int | None], dict[str, Measurement]] = {}
    for row in rows:
        runs.setdefault((row.budget, row.recipe, row.seed), {})[row.task] = row
    everywhere = set[str].intersection(*(set(by_task) for by_task in runs.values()))
    tasks = tuple(sorted(everywhere))
    base = [_values(by_task, tasks) for (budget, _, _), by_task in runs.items() if budget is None]
    return TaskComparison(
        benchmark=benchmark,
        unseen=unseen,
        metric=recorded_metric(metric, _direction(rows)),
        tasks=tasks,
        left_out=left_out(
            [
                ModelCoverage(
                    model_name(budget, recipe), {(task, "") for task in by_task}, evaluated.get((budget, recipe), "")
                )
                for (budget, recipe, _), by_task in runs.items()
            ]
        ),
        runs=tuple(_runs(runs.items(), tasks)) if tasks else (),
        base=np.mean(base, axis=0) if base and tasks else None,
    )


def _direction(rows: Sequence[Measurement]) -> Direction:
    """Return the direction that the evaluations agree on, task by task; an unknown one contradicts no other."""
    by_task: dict[str, set[Direction]] = {}
    for row in rows:
        by_task.setdefault(row.task, set()).update({row.direction} - {Direction.UNKNOWN})
    return agreed(agreed(directions) for directions in by_task.values())


def _runs(
    runs: Iterable[tuple[tuple[int | None, str | None, int | None], dict[str, Measurement]]], tasks: tuple[str, ...]
) -> Iterable[EvaluatedSeed]:
    for (budget, recipe, seed), by_task in runs:
        if budget is not None and recipe is not None:
            trained = np.array([by_task[task].trained for task in tasks], dtype=np.bool_)
            yield EvaluatedSeed(budget, recipe, seed, _values(by_task, tasks), trained)


def _values(by_task: dict[str, Measurement], tasks: tuple[str, ...]) -> NDArray[np.float64]:
    return np.array([by_task[task].value for task in tasks], dtype=np.float64)
