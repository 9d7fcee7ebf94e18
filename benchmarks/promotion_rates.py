"""How often the rule of promotion is wrong, and how often it helps, simulated where the truth is known.

`python -m benchmarks.promotion_rates` prints the tables of docs/automation.md. What decides is the project's own
`mean_over_tasks` and `not_inferior`. An *error* is the true standard error of the mean difference of two models.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from smart_assets.comparison.task_means import MeanDifference, mean_over_tasks, not_inferior

CONFIDENCE = 0.95
MARGINS = (1.0, 2.0, 3.0)
"""In errors."""
TASKS = (2, 3, 5, 10, 50)
ROWS = (10, 30, 100)
NIGHTS = 30

Kind = Literal["loss", "loss, tasks differ", "share"]
KINDS: tuple[Kind, ...] = ("loss", "loss, tasks differ", "share")
_SAME_ANSWER = 0.5  # share of rows whose answer is the same whichever model gives it


@dataclass(frozen=True, slots=True)
class PromotionRates:
    """What comes of many candidates of one setting, as shares of them."""

    kind: Kind
    tasks: int
    rows: int  # of each task
    coverage: float  # of the 95% interval, over tasks like these
    worse: tuple[float, ...]  # promoted though worse by exactly the margin, for each of `MARGINS`
    equal: tuple[float, ...]  # promoted, equal in truth, likewise
    better: tuple[float, ...]  # promoted, better by one error, likewise


@dataclass(frozen=True, slots=True)
class Drift:
    """Where production stands after many nights, in errors above the best production so far."""

    candidates: str
    tasks: int
    margin: float
    mean: float
    high: float  # 95% of the runs end below or at it
    beyond: float  # share of the runs that end beyond the margin
    promoted: float  # of all nights


def promotion_table(
    trials: int, rng: np.random.Generator, tasks: Sequence[int] = TASKS, rows: Sequence[int] = ROWS
) -> list[PromotionRates]:
    """Return coverage, false promotions and power for each kind of metric, number of tasks, and rows of a task."""
    return [_rates(kind, t, n, trials, rng) for kind in KINDS for t in tasks for n in rows]


def drift_table(trials: int, rng: np.random.Generator, tasks: Sequence[int] = TASKS) -> list[Drift]:
    """Simulate thirty nights, each with a candidate half an error worse than production, or about as good."""
    return [_drift(spread, t, margin, trials, rng) for spread in (0.0, 1.0) for t in tasks for margin in MARGINS]


def _rates(kind: Kind, tasks: int, rows: int, trials: int, rng: np.random.Generator) -> PromotionRates:
    def promoted(gap: float, margin: float) -> float:
        differences, error = _differences(kind, (trials, tasks, rows), gap, rng)
        found = mean_over_tasks(differences, _steps(kind, differences, rows), CONFIDENCE)
        return float(not_inferior([found], margin * error).mean())

    differences, _ = _differences(kind, (trials, tasks, rows), 0.0, rng)
    found = mean_over_tasks(differences, _steps(kind, differences, rows), CONFIDENCE)
    return PromotionRates(
        kind=kind,
        tasks=tasks,
        rows=rows,
        coverage=float(((found.low <= 0) & (found.high >= 0)).mean()),
        worse=tuple(promoted(margin, margin) for margin in MARGINS),
        equal=tuple(promoted(0.0, margin) for margin in MARGINS),
        better=tuple(promoted(-1.0, margin) for margin in MARGINS),
    )


def _differences(
    kind: Kind, shape: tuple[int, int, int], gap: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Return (trials, tasks) of differences of a task's figures, the candidate worse by `gap` errors, and one error."""
    _, tasks, rows = shape
    if kind == "share":
        # Rows that are answered alike do not differ; of the others each model has some half right.
        error = np.sqrt(2 * 0.25 * (1 - _SAME_ANSWER) / (rows * tasks))
        half = gap * error / 2 / (1 - _SAME_ANSWER)
        differ = rng.random(shape) >= _SAME_ANSWER
        theirs, mine = rng.random(shape) < 0.5 + half, rng.random(shape) < 0.5 - half
        return (differ * (theirs.astype(float) - mine)).mean(axis=-1), float(error)
    # As skewed as losses are: few rows differ by much.
    of_rows = (rng.exponential(1.0, shape) - 1).mean(axis=-1)
    of_tasks = 0.5 * rng.normal(size=shape[:2]) if kind == "loss, tasks differ" else np.zeros(shape[:2])
    error = float(np.sqrt((1 / rows + (0.25 if kind == "loss, tasks differ" else 0.0)) / tasks))
    return gap * error + of_tasks + of_rows, error


def _steps(kind: Kind, differences: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    return np.full(differences.shape, 1 / rows if kind == "share" else 0.0)


def _drift(spread: float, tasks: int, margin: float, trials: int, rng: np.random.Generator) -> Drift:
    """Simulate candidates (0.5 +- `spread`) errors worse than production, or with a spread as good in the mean."""
    shift = 0.0 if spread else 0.5
    truth, best_truth = np.zeros(trials), np.zeros(trials)
    production = best = _figures(truth, tasks, rng)
    promotions = 0.0
    for _ in range(NIGHTS):
        candidate_truth = truth + shift + spread * rng.normal(size=trials)
        candidate = _figures(candidate_truth, tasks, rng)
        against = [_compared(candidate, other) for other in (production, best)]
        promoted = not_inferior(against, margin)
        leads = promoted & (against[1].mean < 0)
        production = np.where(promoted[:, None], candidate, production)
        best = np.where(leads[:, None], candidate, best)
        truth = np.where(promoted, candidate_truth, truth)
        best_truth = np.minimum(best_truth, truth)
        promotions += float(promoted.mean()) / NIGHTS
    drift = np.round(truth - best_truth, 9)
    return Drift(
        candidates="as good, more or less" if spread else "half an error worse",
        tasks=tasks,
        margin=margin,
        mean=float(drift.mean()),
        high=float(np.quantile(drift, 0.95)),
        beyond=float((drift > margin).mean()),
        promoted=promotions,
    )


def _figures(truth: NDArray[np.float64], tasks: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (trials, tasks) as measured once on the held-out rows: two models' mean difference has the error 1."""
    return truth[:, None] + np.sqrt(tasks / 2) * rng.normal(size=(len(truth), tasks))


def _compared(one: NDArray[np.float64], other: NDArray[np.float64]) -> MeanDifference:
    return mean_over_tasks(one - other, np.zeros(one.shape), CONFIDENCE)


def rates_as_markdown(found: Iterable[PromotionRates]) -> str:
    """Return one row a setting."""
    lines = [
        "| metric | tasks | rows each | coverage | worse by the margin | equal | better by an error |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        cells = (one.kind, one.tasks, one.rows, f"{one.coverage:.3f}", *map(_cell, (one.worse, one.equal, one.better)))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def drift_as_markdown(found: Iterable[Drift]) -> str:
    """Return one row a setting."""
    lines = [
        "| candidates | tasks | margin | mean drift | 95% of runs | beyond the margin | nights that promote |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        lines.append(
            f"| {one.candidates} | {one.tasks} | {one.margin:g} | {one.mean:.2f} | {one.high:.2f} | {one.beyond:.1%} "
            f"| {one.promoted:.0%} |"
        )
    return "\n".join(lines)


def _cell(shares: Iterable[float]) -> str:
    return " / ".join(f"{share:.1%}" if share < 0.1 else f"{share:.0%}" for share in shares)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4000, help="candidates, or runs of 30 nights, of each setting")
    parser.add_argument("--seed", type=int, default=0, help="of the generator")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print(rates_as_markdown(promotion_table(arguments.trials, rng)))
    print()
    print(drift_as_markdown(drift_table(arguments.trials, rng)))


if __name__ == "__main__":
    main()
