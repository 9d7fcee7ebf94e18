import random
from collections import Counter
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.tasks.near_duplicates import Signatures, Sketcher
from smart_assets.tasks.read_result import INSTANCES
from smart_assets.tasks.rows import content_hash
from smart_assets.tasks.sources import Validation
from smart_assets.tasks.validation_split import split

WORDS = [f"word{n}" for n in range(400)]
OPEN = Validation(max_rows_per_task=10_000, fraction=0.2)
SEEDS = st.integers(0, 10_000)


def prompt_of(seed: int, words: int = 12) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def table(*rows: tuple[str, str]) -> pa.Table:
    """Instances of (task, prompt) pairs, sorted by id as a read result has them."""
    instances = {
        content_hash(task, prompt, "r"): {
            "id": content_hash(task, prompt, "r"),
            "task": task,
            "template": "",
            "prompt": prompt,
            "response": "r",
            "messages": None,
            "prompt_hash": content_hash(prompt),
        }
        for task, prompt in rows
    }
    return pa.Table.from_pylist([instances[key] for key in sorted(instances)], schema=INSTANCES)


class Divided(NamedTuple):
    instances: pa.Table
    signatures: Signatures


def divide(instances: pa.Table, validation: Validation = OPEN) -> tuple[Divided, list[str]]:
    log: list[str] = []
    signatures = Sketcher().signatures(instances["prompt"].to_pylist())
    sides = split(instances, signatures, validation, log.append)
    names = [*instances.column_names, *sides.column_names]
    return Divided(pa.table([*instances.columns, *sides.columns], names=names), signatures), log


def sides(divided: Divided) -> dict[tuple[str, str], str]:
    return {(row["task"], row["prompt"]): row["split"] for row in divided.instances.to_pylist()}


def held_out(divided: Divided) -> Counter[str]:
    return Counter(row["task"] for row in divided.instances.to_pylist() if row["split"] == "validation")


def test_rows_stand_on_both_sides() -> None:
    divided, _ = divide(table(*(("a", prompt_of(n)) for n in range(50))))
    assert divided.instances.column_names[-2:] == ["split", "cluster"]
    assert set(divided.instances["split"].to_pylist()) == {"train", "validation"}


def test_the_share_held_out_is_the_fraction() -> None:
    divided, _ = divide(table(*(("a", prompt_of(n)) for n in range(2000))), OPEN)
    assert held_out(divided)["a"] / 2000 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(("rows", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_half_of_an_odd_number_of_rows_is_rounded_down(rows: int, most: int) -> None:
    tasks = [f"task {number}" for number in range(60)]  # enough that several have more candidates than half
    prompts = [(task, prompt_of(100 * place + n)) for place, task in enumerate(tasks) for n in range(rows)]
    divided, log = divide(table(*prompts), Validation(max_rows_per_task=10_000, fraction=0.5))
    assert max(held_out(divided).values(), default=0) == most
    assert " 0 clusters stay in train" not in log[-2], "a bound was met"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), SEEDS), min_size=1, max_size=60), st.randoms())
def test_near_duplicates_stand_on_one_side_whatever_the_task(rows: list[tuple[str, int]], rng: random.Random) -> None:
    instances = table(
        *((task, prompt_of(seed, 40)) for task, seed in rows),
        *((rng.choice("abc"), prompt_of(seed, 40).upper() + "?!") for _, seed in rows),
        *((rng.choice("abc"), prompt_of(seed, 40) + " indeed") for _, seed in rows),
    )
    divided, _ = divide(instances, Validation(fraction=0.5, max_rows_per_task=5))
    side_of: dict[str, set[str]] = {}
    for row in divided.instances.to_pylist():
        original = row["prompt"].lower().removesuffix("?!").removesuffix(" indeed")
        side_of.setdefault(original, set()).add(row["split"])
    assert all(len(found) == 1 for found in side_of.values())


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), min_size=1, max_size=120),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.integers(0, 10),
)
def test_a_task_keeps_its_bounds(rows: list[tuple[str, int]], fraction: float, most: int) -> None:
    instances = table(*((task, prompt_of(seed)) for task, seed in rows))
    divided, _ = divide(instances, Validation(fraction=fraction, max_rows_per_task=most))
    sizes = Counter(instances["task"].to_pylist())
    assert all(rows <= min(most, sizes[task] // 2) for task, rows in held_out(divided).items())


@settings(deadline=None, max_examples=20)
@given(st.sets(SEEDS, min_size=100, max_size=120), st.sets(SEEDS, min_size=1, max_size=30))
def test_other_rows_never_move_a_row_while_the_bounds_have_room(seeds: set[int], others: set[int]) -> None:
    rows = [("a", prompt_of(seed)) for seed in sorted(seeds)]
    more = [(task, prompt_of(seed + 20_000)) for seed in sorted(others) for task in "ab"]
    before, after = sides(divide(table(*rows))[0]), sides(divide(table(*rows, *more))[0])
    assert before.items() <= after.items()


def test_the_split_is_what_it_always_was() -> None:
    found = sides(divide(table(*(("a", prompt_of(n)) for n in range(60))))[0])
    assert [n for n in range(60) if found["a", prompt_of(n)] == "validation"] == [25, 31, 35, 36, 39, 40, 47, 48, 56]


def test_a_cluster_bears_its_smallest_prompt_hash() -> None:
    prompts = ["same words here now", "Same words, here now!", "SAME WORDS HERE NOW"]
    divided, _ = divide(table(*(("a", prompt) for prompt in prompts)))
    assert set(divided.instances["cluster"].to_pylist()) == {min(map(content_hash, prompts))}


def chain(links: int) -> list[str]:
    """Prompts each near the next, the last far from the first."""
    words = [f"link{n}" for n in range(60 + links)]
    return [" ".join(words[n : n + 60]) for n in range(links)]


@pytest.mark.parametrize("salt", range(20))
def test_a_chain_that_holds_most_of_a_task_is_never_held_out(salt: int) -> None:
    chained = [f"{prompt} {salt}" for prompt in chain(60)]
    rows = [("a", prompt) for prompt in chained] + [("a", prompt_of(n)) for n in range(50)]
    divided, _ = divide(table(*rows), Validation(fraction=0.5, max_rows_per_task=1000))
    found = sides(divided)
    assert len({row["cluster"] for row in divided.instances.to_pylist() if row["prompt"] in chained}) == 1
    assert {found["a", prompt] for prompt in chained} == {"train"}


def test_tasks_that_hold_out_nothing_are_named() -> None:
    rows: list[tuple[str, Any]] = [("big", prompt_of(n)) for n in range(100)]
    divided, log = divide(table(*rows, ("single", prompt_of(500))), Validation(fraction=0.5))
    assert held_out(divided).keys() == {"big"}
    assert "no rows of 1 tasks: single" in log[-1]


def test_a_cluster_that_finds_no_room_stays_in_train_and_is_counted() -> None:
    divided, log = divide(
        table(*(("a", prompt_of(n)) for n in range(100))), Validation(fraction=0.5, max_rows_per_task=3)
    )
    assert held_out(divided)["a"] == 3
    assert "validation: 3 of 100 rows" in log[-1]
    assert "clusters stay in train because a task holds out 3 rows or half of its rows at most" in log[-1]


def test_a_cluster_across_tasks_needs_room_in_each() -> None:
    shared = [prompt_of(n) for n in range(40)]
    rows = [("big", prompt_of(n)) for n in range(200)] + [("single", prompt) for prompt in shared[:1]]
    divided, _ = divide(table(*rows), Validation(fraction=0.5, max_rows_per_task=1000))
    assert sides(divided)["big", shared[0]] == "train"
