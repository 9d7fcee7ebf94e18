"""How often the report and the rule of promotion are wrong, simulated where the truth is known.

`python -m benchmarks.claims` prints the tables of docs/comparison.md. What is simulated is held-out rows and trainings;
what judges them are the project's own functions: `weigh_shared` and what it is made of, and the rule of promotion as
`benchmarks.promotion_rates` calls it. Rows have losses of their own that all models share, and differ by recipe and by
training; trainings of one recipe differ by 0.014 to 0.035 nats, by task as well. An *error* is the true standard error
of the difference of two recipes.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.promotion_rates import promotion_table, rates_as_markdown
from smart_assets.comparison.compare_recipes import ComparisonSpec, compare_shared_rows
from smart_assets.comparison.differences import Difference, measured_models, score, to_references
from smart_assets.comparison.intervals import Interval
from smart_assets.comparison.row_results import SharedRows, SharedTask
from smart_assets.core.metrics import HELD_OUT, OWN_METRICS, RESPONSE_LOSS

SEEDS = (1, 2, 3, 5)
TASKS = (2, 10, 50)
ROWS = (10, 30, 100)
EFFECTS = (0, 1, 2, 3)
"""In errors."""

BUDGETS = (100, 200, 400, 800)
TRAINING_NOISE = (0.014, 0.025, 0.035)
"""Nats; that of each recipe is one of them."""

_OF_RECIPE, _OF_TRAINING = 0.3, 0.1  # nats: what a recipe, and a training, does to single rows
_RIGHT = 0.3  # share of rows that are answered right
EXACT_MATCH = OWN_METRICS["exact_match"]
_SPEC = ComparisonSpec({"random": "random"})
_Model = tuple[int | None, str | None, int | None]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One recipe against another in many reports, as shares of them."""

    seeds: int
    tasks: int
    rows: int  # of each task
    difference: float  # 95% intervals of the difference that hold the truth
    score: float  # of a recipe's score
    share: float  # of the difference of two shares of exact matches
    false: float  # verdicts where nothing differs
    right: tuple[float, ...]  # right verdicts at each of `EFFECTS` above 0
    wrong: float  # verdicts the wrong way at one error


@dataclass(frozen=True, slots=True)
class Pages:
    """Whole pages of recipes of which none differs, as shares of them."""

    seeds: int
    claims: float  # of a page
    uncorrected: float  # claims that are made, each by itself
    any_corrected: float  # pages with a claim that holds corrected


@dataclass(frozen=True, slots=True)
class Stops:
    """ "You can stop at N rows" in many reports, as shares of them."""

    truth: str
    seeds: int
    false: float  # N is worse than the largest budget by the margin or more
    right: float  # N is worse by less


def verdict_table(
    trials: int, seed: int, seeds: Sequence[int] = SEEDS, tasks: Sequence[int] = TASKS,
    rows: Sequence[int] = ROWS,
) -> list[Verdicts]:  # fmt: skip
    """Return coverage, false and right verdicts for each number of seeds, tasks, and rows of a task."""
    return [
        _verdicts(s, t, n, trials, np.random.default_rng([seed, s, t, n])) for s, t, n in product(seeds, tasks, rows)
    ]


def page_table(trials: int, seed: int, seeds: Sequence[int] = SEEDS) -> list[Pages]:
    """Simulate six recipes and the base model, equal in truth, at two budgets, ten tasks of ten rows."""
    return [_pages(s, trials, np.random.default_rng([seed, s])) for s in seeds]


def stop_table(trials: int, seed: int, seeds: Sequence[int] = SEEDS) -> list[Stops]:
    """Return one recipe at four budgets, each worse than twice as many rows by so much; ten tasks of thirty rows."""
    truths = (("equal", 0.0), ("worse by the margin", 0.04), ("worse by 0.05", 0.05))
    return [
        _stops(name, doubling, s, trials, np.random.default_rng([seed, s]))
        for (name, doubling), s in product(truths, seeds)
    ]


def _verdicts(seeds: int, tasks: int, rows: int, trials: int, rng: np.random.Generator) -> Verdicts:
    models: list[_Model] = [(200, name, seed) for name in ("smart", "random") for seed in range(seeds)]
    pages = [_page(models, np.full(len(models), 2.0), tasks, rows, rng) for _ in range(trials)]
    found = [_compared(shared) for shared, _ in pages]
    # Of one training the interval is said to hold what these very trainings differ by.
    truths = [_truth(trained, seeds) for _, trained in pages]
    error = float(np.std([one.interval.value for one, _, _ in found]))
    shifted = {
        effect: [_compared(_better(shared, seeds, effect * error))[0] for shared, _ in pages] for effect in EFFECTS[1:]
    }
    return Verdicts(
        seeds=seeds,
        tasks=tasks,
        rows=rows,
        difference=_share(_holds(one.interval, truth) for (one, _, _), (truth, _) in zip(found, truths, strict=True)),
        score=_share(_holds(level, truth) for (_, level, _), (_, truth) in zip(found, truths, strict=True)),
        share=_share(_holds(share.interval, 0.0) for _, _, share in found),
        false=_share(one.better is not None for one, _, _ in found),
        right=tuple(_share(one.better is True for one in shifted[effect]) for effect in EFFECTS[1:]),
        wrong=_share(one.better is False for one in shifted[1]),
    )


def _pages(seeds: int, trials: int, rng: np.random.Generator) -> Pages:
    names = ("random", *(f"recipe {at}" for at in range(5)))
    models: list[_Model] = [(None, None, None)]
    models += [(budget, name, seed) for budget in (200, 400) for name in names for seed in range(seeds)]
    claims, made, held = [], [], []
    for _ in range(trials):
        found = compare_shared_rows([_page(models, np.full(len(models), 2.0), 10, 10, rng)[0]], _SPEC)
        differ = [each for comparison in found for each in comparison.all_differences]
        claims.append(found[0].family.claims)
        made.append(np.mean([each.better is not None for each in differ]))
        held.append(any(each.better is not None and found[0].family.holds(each.p) for each in differ))
    return Pages(seeds, float(np.mean(claims)), float(np.mean(made)), _share(held))


def _stops(truth: str, doubling: float, seeds: int, trials: int, rng: np.random.Generator) -> Stops:
    models: list[_Model] = [(budget, "smart", seed) for budget in BUDGETS for seed in range(seeds)]
    worse = {budget: doubling * (len(BUDGETS) - 1 - at) for at, budget in enumerate(BUDGETS)}
    levels = np.array([2.0 + worse[budget or 0] for budget, _, _ in models])
    false = right = 0
    for _ in range(trials):
        comparison = compare_shared_rows([_page(models, levels, 10, 30, rng)[0]], _SPEC)[0]
        for sufficient in comparison.sufficient_budgets:
            if sufficient.reached is not None:
                too_early = worse[sufficient.reached.difference.budget] >= 0.02 * 2.0
                false, right = false + too_early, right + (not too_early)
    return Stops(truth, seeds, false / trials, right / trials)


def _page(
    models: Sequence[_Model], levels: NDArray[np.float64], tasks: int, rows: int, rng: np.random.Generator
) -> tuple[SharedRows, NDArray[np.float64]]:
    """Return what the models scored on rows, and the mean loss of each training (m,) on all rows there might be."""
    recipes = {key: at for at, key in enumerate(dict.fromkeys(model[:2] for model in models))}
    places = np.array([recipes[model[:2]] for model in models])
    noise = rng.choice(TRAINING_NOISE, len(recipes))[places] * np.array([model[1] is not None for model in models])
    tokens = np.ceil(rng.lognormal(2.0, 0.8, (tasks, rows, 1)))
    own = rng.gamma(4.0, 0.25, (tasks, rows, 1)) - 1
    of_recipe = _OF_RECIPE * rng.normal(size=(tasks, rows, len(recipes)))[..., places]
    trained = levels + noise * (rng.normal(size=len(models)) + rng.normal(size=(tasks, 1, len(models))))
    losses = trained + own + of_recipe + _OF_TRAINING * rng.normal(size=(tasks, rows, len(models)))
    hard = rng.beta(_RIGHT, 1 - _RIGHT, (tasks, rows, 1))
    right = (rng.random(losses.shape) < hard).astype(float)
    return SharedRows(
        HELD_OUT,
        False,
        tuple(models),
        tuple(
            SharedTask(
                f"task {task}",
                {
                    RESPONSE_LOSS.numerator: losses[task] * tokens[task],
                    "tokens": np.repeat(tokens[task], len(models), axis=1),
                    EXACT_MATCH.numerator: right[task],
                },
            )
            for task in range(tasks)
        ),
        (),
        "",
    ), trained.mean(axis=(0, 1))


def _better(shared: SharedRows, seeds: int, by: float) -> SharedRows:
    """Return the same page with the first recipe better by so much."""
    tasks: list[SharedTask] = []
    for task in shared.tasks:
        losses = task.columns[RESPONSE_LOSS.numerator].copy()
        losses[:, :seeds] -= by * task.columns["tokens"][:, :seeds]
        tasks.append(SharedTask(task.task, {**task.columns, RESPONSE_LOSS.numerator: losses}))
    return SharedRows(shared.benchmark, shared.unseen, shared.models, tuple(tasks), (), "")


def _compared(shared: SharedRows) -> tuple[Difference, Interval, Difference]:
    """Return the difference of the two recipes, the score of the first, and the difference of their exact matches."""
    losses, matches = (measured_models(shared, metric) for metric in (RESPONSE_LOSS, EXACT_MATCH))
    [difference] = to_references(losses, RESPONSE_LOSS, ["random"])
    [shares] = to_references(matches, EXACT_MATCH, ["random"])
    return difference, score((200, "smart"), losses, RESPONSE_LOSS).interval, shares


def _truth(trained: NDArray[np.float64], seeds: int) -> tuple[float, float]:
    """Return the truth of the difference and of the first recipe's score."""
    return (0.0, 2.0) if seeds > 1 else (float(trained[0] - trained[1]), float(trained[0]))


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def _share(found: Iterable[bool]) -> float:
    return float(np.mean(list(found)))


def verdicts_as_markdown(found: Iterable[Verdicts]) -> str:
    """Return one row a setting."""
    lines = [
        "| seeds | tasks | rows each | difference | score | share | false verdicts | right at 1 / 2 / 3 errors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        right = " / ".join(f"{each:.0%}" for each in one.right)
        lines.append(
            f"| {one.seeds} | {one.tasks} | {one.rows} | {one.difference:.3f} | {one.score:.3f} | {one.share:.3f} "
            f"| {one.false:.1%} | {right} |"
        )
    return "\n".join(lines)


def pages_as_markdown(found: Iterable[Pages]) -> str:
    """Return one row a number of seeds."""
    lines = [
        "| seeds | claims of a page | made, each by itself | pages with one that holds corrected |",
        "|---|---|---|---|",
    ]
    lines += [f"| {one.seeds} | {one.claims:.0f} | {one.uncorrected:.1%} | {one.any_corrected:.1%} |" for one in found]
    return "\n".join(lines)


def stops_as_markdown(found: Iterable[Stops]) -> str:
    """Return one row a truth and number of seeds."""
    lines = ["| truth, a doubling fewer rows | seeds | false stops | right stops |", "|---|---|---|---|"]
    lines += [f"| {one.truth} | {one.seeds} | {one.false:.1%} | {one.right:.1%} |" for one in found]
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="reports of each setting")
    parser.add_argument("--seed", type=int, default=0, help="of the generators: each setting has its own")
    parser.add_argument("--quick", action="store_true", help="a tenth of the reports, and few settings")
    arguments = parser.parse_args()
    seed: int = arguments.seed
    trials = arguments.trials // 10 if arguments.quick else arguments.trials
    settings = ((2, 10), (10,)) if arguments.quick else (TASKS, ROWS)
    print(verdicts_as_markdown(verdict_table(trials, seed, SEEDS, *settings)), end="\n\n", flush=True)
    print(pages_as_markdown(page_table(trials, seed)), end="\n\n", flush=True)
    print(stops_as_markdown(stop_table(trials, seed)), end="\n\n", flush=True)
    print(rates_as_markdown(promotion_table(trials, np.random.default_rng(seed), *settings)))


if __name__ == "__main__":
    main()
