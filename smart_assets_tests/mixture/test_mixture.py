"""Mixtures: exact size, prefixes, and what a pool must hold."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.mixture.mixture import MIXTURE_COLUMNS, select_mixture
from smart_assets.mixture.pool import INSTANCE_COLUMNS, ORDERING_COLUMNS, TASK_GAIN_COLUMNS, Pool
from smart_assets.mixture.recipes import PRESETS, Recipe
from smart_assets.selection.greedy import greedy_ordering
from smart_assets.selection.objectives import FacilityLocation, GraphCut

GROUP_SIZES = {
    ("news", "alpha", "zs_opt"): 12,
    ("news", "alpha", "fs_noopt"): 5,
    ("news", "beta | <b>", "plain"): 30,
    ("quiz", "../gamma", "q?"): 3,
    ("quiz", "../gamma", "a!"): 9,
    ("quiz", "delta", ""): 1,
}
TOTAL = sum(GROUP_SIZES.values())


def _rows() -> list[dict[str, str]]:
    return [
        {"id": f"{task}-{template}-{number:02}", "source": source, "task": task, "template": template}
        for (source, task, template), size in GROUP_SIZES.items()
        for number in range(size)
    ]


def make_pool(rows: list[dict[str, str]] | None = None) -> Pool:
    """A pool with real orderings of random vectors, its rows shuffled."""
    rng = np.random.default_rng(0)
    rows = _rows() if rows is None else rows
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        groups[row["task"], row["template"]].append(row["id"])
    orderings: list[dict[str, Any]] = []
    for (task, template), ids in groups.items():
        ordering = greedy_ordering(rng.normal(size=(len(ids), 4)), FacilityLocation())
        orderings += [
            {
                "task": task,
                "template": template,
                "objective": "facility_location",
                "rank": rank,
                "id": ids[index],
                "gain": gain,
            }
            for rank, (index, gain) in enumerate(zip(ordering.indices, ordering.gains, strict=True))
        ]
    tasks = sorted({row["task"] for row in rows})
    scores = greedy_ordering(rng.normal(loc=0.5, size=(len(tasks), 4)), GraphCut())
    gains = [
        {"objective": GraphCut().label, "rank": rank, "task": tasks[index], "gain": gain}
        for rank, (index, gain) in enumerate(zip(scores.indices, scores.gains, strict=True))
    ]
    shuffled = [rows[index] for index in rng.permutation(len(rows))]
    return Pool(
        pa.Table.from_pylist(shuffled, INSTANCE_COLUMNS),
        pa.Table.from_pylist([orderings[index] for index in rng.permutation(len(orderings))], ORDERING_COLUMNS),
        pa.Table.from_pylist(gains, TASK_GAIN_COLUMNS),
    )


POOL = make_pool()
RECIPES = {
    **PRESETS,
    "greedy proportional": Recipe.model_validate({"task_budgets": "proportional", "instances": "greedy"}),
    "random smart": Recipe.model_validate({"preset": "smart", "instances": "random"}),
    "three tasks": Recipe.model_validate(
        {"preset": "smart", "task_budgets": {"kind": "submodular", "max_tasks": 3, "temperature": 3}}
    ),
    "three random tasks": Recipe.model_validate(
        {"task_budgets": {"kind": "submodular", "max_tasks": 3}, "instances": "random"}
    ),
}
Row = dict[str, Any]


def select(recipe: str, budget: int, seeds: Sequence[int] = (23,), pool: Pool = POOL) -> list[Row]:
    return select_mixture(RECIPES[recipe], budget, pool, seeds).rows.to_pylist()


def by_group(rows: list[Row]) -> dict[tuple[Any, ...], list[str]]:
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for row in rows:
        key = (row["seed"], row["task"], row["template"])
        assert row["rank"] == len(groups[key])
        groups[key].append(row["id"])
    return groups


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("budget", [1, 2, 7, 20, 21])
def test_a_mixture_has_exactly_its_budget_of_distinct_rows(name: str, budget: int) -> None:
    mixture = select_mixture(RECIPES[name], budget, POOL, [23])
    assert mixture.rows.schema == MIXTURE_COLUMNS
    assert mixture.rows.num_rows == budget
    rows = mixture.rows.to_pylist()
    assert len({row["id"] for row in rows}) == budget
    known = {row["id"]: row for row in _rows()}
    assert all(row.items() >= known[row["id"]].items() for row in rows)
    tasks = mixture.tasks.to_pylist()
    assert sum(task["weight"] for task in tasks) == pytest.approx(1)
    if name != "random":
        counts = Counter(row["task"] for row in rows)
        assert {task["task"]: task["budget"] for task in tasks if task["budget"]} == counts
        assert sum(task["budget"] for task in tasks) == budget


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"three tasks", "three random tasks"}))
def test_the_largest_budget_takes_every_row(name: str) -> None:
    assert {row["id"] for row in select(name, TOTAL)} == {row["id"] for row in _rows()}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(("small", "large"), [(3, 17), (10, 20)])
def test_the_rows_of_one_budget_are_prefixes_of_the_others(name: str, small: int, large: int) -> None:
    fewer, more = by_group(select(name, small)), by_group(select(name, large))
    for group in fewer.keys() & more.keys():
        shared = min(len(fewer[group]), len(more[group]))
        assert fewer[group][:shared] == more[group][:shared]


def test_greedy_rows_are_the_first_of_their_orderings_with_their_gains() -> None:
    orderings = {
        (row["task"], row["template"], row["rank"]): (row["id"], row["gain"]) for row in POOL.orderings.to_pylist()
    }
    for row in select("smart", 25, seeds=[1, 2]):
        assert orderings[row["task"], row["template"], row["rank"]] == (row["id"], row["gain"])
        assert row["seed"] is None


def test_greedy_tasks_stand_in_pick_order_and_split_by_template() -> None:
    mixture = select_mixture(RECIPES["smart"], 40, POOL, [])
    picked = [row["task"] for row in POOL.task_gains.to_pylist()]
    assert mixture.tasks["task"].to_pylist() == picked
    assert list(dict.fromkeys(mixture.rows["task"].to_pylist())) == picked
    flan = Counter(row["template"] for row in mixture.rows.to_pylist() if row["task"] == "alpha")
    assert flan["zs_opt"] > flan["fs_noopt"] > 0


def test_pooled_rows_of_a_smaller_budget_stay() -> None:
    larger = {row["id"] for row in select("random", 30)}
    assert {row["id"] for row in select("random", 11)} < larger
    budgets = select_mixture(RECIPES["random"], 30, POOL, [23]).tasks["budget"]
    assert budgets.null_count == len(budgets)


@pytest.mark.parametrize("name", ["proportional", "equal", "random"])
def test_each_seed_draws_its_own_rows(name: str) -> None:
    rows = select(name, 20, seeds=[1, 2])
    drawn = {seed: [row["id"] for row in rows if row["seed"] == seed] for seed in (1, 2)}
    assert [len(ids) for ids in drawn.values()] == [20, 20]
    assert set(drawn[1]) != set(drawn[2])
    assert drawn[2] == [row["id"] for row in select(name, 20, seeds=[2])]
    by_group(rows)
    assert all(row["gain"] is None for row in rows)


def test_random_rows_of_a_task_do_not_depend_on_other_rows() -> None:
    without_beta = make_pool([row for row in _rows() if row["task"] != "beta | <b>"])
    drawn = {group: ids for group, ids in by_group(select("equal", 16)).items() if group[1] == "alpha"}
    again = {
        group: ids for group, ids in by_group(select("equal", 12, pool=without_beta)).items() if group[1] == "alpha"
    }
    for group in drawn.keys() & again.keys():
        shared = min(len(drawn[group]), len(again[group]))
        assert drawn[group][:shared] == again[group][:shared]


def test_random_draws_are_even() -> None:
    counts = Counter(row["id"] for row in select("random", 6, seeds=range(1000)))
    assert len(counts) == TOTAL
    assert max(counts.values()) < 2 * 6000 / TOTAL
    assert min(counts.values()) > 0.5 * 6000 / TOTAL


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"three tasks", "three random tasks"}))
@pytest.mark.parametrize("budget", [0, TOTAL + 1])
def test_a_budget_that_the_rows_cannot_meet_is_refused(name: str, budget: int) -> None:
    with pytest.raises(BudgetError, match=rf"must lie in \[1, {TOTAL}\].*the 4 tasks.*got {budget}"):
        select(name, budget)


def test_a_budget_beyond_the_tasks_taken_is_refused() -> None:
    picked = [row["task"] for row in POOL.task_gains.to_pylist()[:3]]
    held = sum(size for (_, task, _), size in GROUP_SIZES.items() if task in picked)
    with pytest.raises(BudgetError, match=rf"\[1, {held}\].*the 3 tasks.*got {held + 1}"):
        select("three tasks", held + 1)


@pytest.mark.parametrize("seeds", [[], [3, 3]], ids=["none", "twice"])
def test_random_rows_need_distinct_seeds(seeds: list[int]) -> None:
    with pytest.raises(SelectionError, match=r"distinct seeds, at least one; got \["):
        select("equal", 5, seeds)


def test_a_scored_task_without_training_rows_gets_nothing() -> None:
    pool = make_pool()
    lonely = Pool(
        pool.instances.filter(pa.array([t != "delta" for t in pool.instances["task"].to_pylist()])),
        pool.orderings,
        pool.task_gains,
    )
    mixture = select_mixture(RECIPES["smart"], TOTAL - 1, lonely, [])
    assert dict(zip(mixture.tasks["task"].to_pylist(), mixture.tasks["budget"].to_pylist(), strict=True))["delta"] == 0
    assert mixture.rows.num_rows == TOTAL - 1


def _without(table: pa.Table, column: str, value: str) -> pa.Table:
    return table.filter(pa.array([entry != value for entry in table[column].to_pylist()]))


def test_an_ordering_that_lacks_a_row_is_refused() -> None:
    first = next(row["id"] for row in POOL.orderings.to_pylist() if row["rank"] == 0 and row["task"] == "alpha")
    stale = Pool(POOL.instances, _without(POOL.orderings, "id", first), POOL.task_gains)
    with pytest.raises(SelectionError, match=r"under facility_location do not match.*instance_orderings again"):
        select("smart", 2, pool=stale)


def test_an_ordering_that_names_a_vanished_row_is_refused() -> None:
    gone = next(row["id"] for row in POOL.orderings.to_pylist() if row["rank"] == 0 and row["task"] == "beta | <b>")
    stale = Pool(_without(POOL.instances, "id", gone), POOL.orderings, POOL.task_gains)
    with pytest.raises(SelectionError, match="do not match the training instances"):
        select("smart", 20, pool=stale)


def test_an_ordering_that_names_a_row_twice_is_refused() -> None:
    rows = POOL.orderings.to_pylist()
    ids = [row["id"] for row in rows if row["task"] == "alpha"]
    twice = [{**row, "id": ids[0]} if row["id"] == ids[1] else row for row in rows]
    with pytest.raises(SelectionError, match="do not match the training instances"):
        select("smart", 20, pool=Pool(POOL.instances, pa.Table.from_pylist(twice, ORDERING_COLUMNS), POOL.task_gains))


def test_a_task_without_a_gain_is_refused() -> None:
    stale = Pool(POOL.instances, POOL.orderings, _without(POOL.task_gains, "task", "delta"))
    with pytest.raises(SelectionError, match=r"task 'delta' has instances but no gain under graph_cut\(.*task_scores"):
        select("smart", 5, pool=stale)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([("1", "s", "a", "t"), ("1", "s", "a", "t")], "some ids come twice", id="one id twice"),
        pytest.param([("1", "s", "a", "t"), ("2", "r", "a", "t")], "'a' lies in several", id="task in two sources"),
        pytest.param([("1", "s", "a", None)], "instances need the columns id, source, task, template", id="null"),
    ],
)
def test_a_pool_refuses_instances(rows: list[tuple[str | None, ...]], message: str) -> None:
    columns = dict(zip(INSTANCE_COLUMNS.names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    with pytest.raises(SelectionError, match=message):
        Pool(pa.table(columns), POOL.orderings, POOL.task_gains)


def test_a_pool_names_a_missing_column_and_drops_others() -> None:
    with pytest.raises(SelectionError, match="orderings need the columns task, template, objective, rank, id, gain"):
        Pool(POOL.instances, POOL.orderings.drop_columns("gain"), POOL.task_gains)
    extra = POOL.instances.append_column("prompt", pa.array(["text"] * TOTAL))
    assert Pool(extra, POOL.orderings, POOL.task_gains).instances.column_names == INSTANCE_COLUMNS.names


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(SelectionError, match="no training instances"):
        Pool(POOL.instances.slice(0, 0), POOL.orderings, POOL.task_gains)
