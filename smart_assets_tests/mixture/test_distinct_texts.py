"""Each text once in a mixture: exact budgets, the next row of a task's order, and a stated rule of who keeps a text."""

from collections import defaultdict
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.core.errors import BudgetError
from smart_assets.mixture.mixture import Mixture, select_mixture
from smart_assets.mixture.pool import (
    INSTANCE_COLUMNS,
    ORDERING_COLUMNS,
    REPEAT_COLUMNS,
    TASK_GAIN_COLUMNS,
    Pool,
)
from smart_assets.mixture.recipes import Recipe
from smart_assets.selection.objectives import FacilityLocation, GraphCut

RECIPES: dict[str, Any] = {
    "smart": "smart",
    "two tasks": {"preset": "smart", "max_tasks": 2},
    "smart, random rows": {"preset": "smart", "instances": "random"},
    "greedy proportional": {"task_budgets": "proportional", "instances": "greedy"},
    "proportional": "proportional",
    "equal": "equal",
    "random": "random",
}
Texts = dict[str, list[int]]  # task -> what its rows say, in the order of its rows


def pool_of(tasks: Texts, templates: tuple[str, ...] = ("",)) -> Pool:
    """A pool whose greedy orders are those of the lists, in each template; tasks are picked in order of name."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"{task}{text}",
            "source": "s",
            "task": task,
            "template": templates[place % len(templates)],
            "text": text,
        }
        for task, texts in tasks.items()
        for place, text in enumerate(texts)
    ]
    ranks: defaultdict[tuple[str, str], int] = defaultdict(int)
    orderings: list[dict[str, Any]] = []
    for row in rows:
        group = (row["task"], row["template"])
        orderings.append({**row, "objective": FacilityLocation().label, "rank": ranks[group], "gain": 1.0})
        ranks[group] += 1
    said = [row["text"] for row in rows]
    gains = [
        {"objective": GraphCut().label, "rank": rank, "task": task, "gain": 0.5}
        for rank, task in enumerate(sorted(tasks))
    ]
    return Pool(
        pa.Table.from_pylist(rows, INSTANCE_COLUMNS),
        pa.Table.from_pylist(orderings, ORDERING_COLUMNS),
        pa.Table.from_pylist(gains, TASK_GAIN_COLUMNS),
        pa.Table.from_pylist([row for row in rows if said.count(row["text"]) > 1], REPEAT_COLUMNS),
    )


def select(recipe: str, budget: int, pool: Pool, **more: Any) -> Mixture:
    spelled = RECIPES[recipe]
    parts = {"preset": spelled} if isinstance(spelled, str) else spelled
    return select_mixture(Recipe.model_validate({**parts, **more}), budget, pool, seeds=(23,))


def ids(mixture: Mixture) -> list[str]:
    return mixture.rows["id"].to_pylist()


@pytest.mark.parametrize(
    ("recipe", "tasks", "budget", "expected"),
    [
        pytest.param("smart", {"a": [1, 2, 3, 4], "b": [1, 2, 5, 6]}, 4, ["a1", "a2", "b5", "b6"], id="the next rows"),
        pytest.param("smart", {"a": [1, 2, 3], "b": [4, 5, 1]}, 4, ["a1", "a2", "b4", "b5"], id="none is repeated"),
        pytest.param("smart", {"a": [1, 2, 3, 4], "b": [2, 1]}, 4, ["a1", "a2", "a3", "a4"], id="no row is left"),
        pytest.param(
            "two tasks", {"a": [1, 2], "b": [1, 3], "c": [2, 3]}, 3, ["a1", "a2", "b3"], id="beyond the picks"
        ),
        pytest.param("greedy proportional", {"a": [1, 2], "b": [1, 2]}, 2, ["a1", "b2"], id="a copy"),
    ],
)
def test_a_text_is_taken_once(recipe: str, tasks: Texts, budget: int, expected: list[str]) -> None:
    assert ids(select(recipe, budget, pool_of(tasks))) == expected


def test_what_was_done_is_counted() -> None:
    mixture = select("smart", 4, pool_of({"a": [1, 2, 3, 4], "b": [2, 1]}))
    assert mixture.exhausted == ("b",)
    assert mixture.replaced >= 2
    untouched = select("smart", 4, pool_of({"a": [1, 2, 3], "b": [4, 5, 1]}))
    assert (untouched.replaced, untouched.exhausted) == (0, ())


def test_repeated_texts_can_be_kept() -> None:
    kept = select("smart", 4, pool_of({"a": [1, 2, 3, 4], "b": [1, 2, 5, 6]}), repeat_texts=True)
    assert ids(kept) == ["a1", "a2", "b1", "b2"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_budget_beyond_the_distinct_texts_is_refused(recipe: str) -> None:
    pool = pool_of({"a": [1, 2, 3], "b": [1, 2, 4]})
    assert len(ids(select(recipe, 4, pool))) == 4
    with pytest.raises(BudgetError, match=r"\[1, 4\], the distinct texts among the 6 .*`repeat_texts: true`"):
        select(recipe, 5, pool)
    assert len(ids(select(recipe, 6, pool, repeat_texts=True))) == 6


tables = st.dictionaries(
    st.sampled_from("abcd"), st.lists(st.integers(0, 11), min_size=1, max_size=9, unique=True), min_size=1
)


@given(
    tasks=tables,
    recipe=st.sampled_from(sorted(RECIPES)),
    share=st.floats(0, 1),
    templates=st.sampled_from([("",), ("x", "y"), ("zs_opt", "zs_noopt", "fs_noopt")]),
)
def test_any_mixture_is_exact_and_a_text_stays_with_the_first(
    tasks: Texts, recipe: str, share: float, templates: tuple[str, ...]
) -> None:
    pool = pool_of(tasks, templates)
    open_tasks = sorted(tasks)[: 2 if recipe == "two tasks" else None]
    distinct = {text for task in open_tasks for text in tasks[task]}
    budget = max(1, round(share * len(distinct)))
    mixture = select(recipe, budget, pool)
    rows = mixture.rows.to_pylist()
    said = [int(row["id"][1:]) for row in rows]
    assert len(rows) == budget
    assert len(set(said)) == budget
    repeated = select(recipe, budget, pool, repeat_texts=True)
    if len({id_[1:] for id_ in ids(repeated)}) == budget:
        assert mixture.rows.equals(repeated.rows)
        assert mixture.tasks.equals(repeated.tasks)
    if recipe != "random":
        for task in open_tasks:
            earlier = {int(row["id"][1:]) for row in rows if row["task"] < task}
            assert_next_in_order(task, tasks[task], earlier, rows, templates)


def assert_next_in_order(
    task: str, texts: list[int], earlier: set[int], rows: list[dict[str, Any]], templates: tuple[str, ...]
) -> None:
    """The rows of a task are the first of its order, in each template, whose text no earlier task has."""
    random = any(row["seed"] is not None for row in rows)
    places = {text: place for place, text in enumerate(texts)}
    groups = ["any"] if random else list(templates)
    for group in groups:
        own = [row for row in rows if row["task"] == task and (random or row["template"] == group)]
        order = [text for text in texts if random or templates[places[text] % len(templates)] == group]
        if random:
            order.sort(key=lambda text: int.from_bytes(digest(f"{task}{text}"), "little"))
        left = [text for text in order if text not in earlier]
        assert [int(row["id"][1:]) for row in own] == left[: len(own)]
        if not random:
            assert [row["rank"] for row in own] == list(range(len(own)))


def digest(row_id: str) -> bytes:
    return blake2b(f"23:{row_id}".encode(), digest_size=8).digest()
