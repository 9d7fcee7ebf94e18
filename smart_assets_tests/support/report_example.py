"""A realistic report of twenty tasks, hostile names for it, and the size of its pictures."""

import struct
import zlib

import numpy as np

from smart_assets.comparison.compare_recipes import ComparisonResult, ComparisonSpec, compare_recipes
from smart_assets.comparison.measurement import Measurement
from smart_assets.comparison.row_results import RowResults
from smart_assets.core.metrics import Direction
from smart_assets.report.content import (
    ArtifactVersion,
    MixtureBudgets,
    NearDuplicatePair,
    NearDuplicateSummary,
    ObjectiveGains,
    Provenance,
    RejectedRow,
    RejectionCount,
    Rejections,
    ReportContent,
    TaskKernel,
    TaskSummary,
)
from smart_assets.report.task_geometry import task_plane
from smart_assets_tests.support.measurements import row_columns

_VERBS = ("add", "subtract", "reverse", "sort", "count", "translate", "compare", "name", "convert", "spell")
_OBJECTS = ("numbers", "words")
TASKS = tuple(f"{verb}_{thing}" for verb in _VERBS for thing in _OBJECTS)
BUDGETS = (200, 400)
RECIPES = ("smart", "proportional")


def task_means(size: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (size, 16) in five clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, 16))
    means = centres[np.arange(size) % 5] + 0.5 * rng.normal(size=(size, 16)) + 0.6
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def summaries(tasks: tuple[str, ...], seed: int = 0) -> tuple[TaskSummary, ...]:
    """Very uneven tasks of two sources."""
    rng = np.random.default_rng(seed)
    sizes = np.sort(rng.integers(40, 400, len(tasks)))[::-1]
    gains = 1 + rng.random(len(tasks))
    return tuple(
        TaskSummary(
            source="sample" if at % 3 else "another source",
            task=task,
            train_rows=int(sizes[at]),
            validation_rows=int(sizes[at] // 10),
            rejected_rows=int(at % 4),
            mixture_weights={"smart": gains[at] / gains.sum(), "proportional": sizes[at] / sizes.sum()},
        )
        for at, task in enumerate(tasks)
    )


def mixtures(tasks: tuple[TaskSummary, ...], budgets: tuple[int, ...] = BUDGETS) -> tuple[MixtureBudgets, ...]:
    """Task budgets near each recipe's weights."""
    return tuple(
        MixtureBudgets(budget, recipe, {task.task: int(budget * task.mixture_weights[recipe]) for task in tasks})
        for budget in budgets
        for recipe in RECIPES
    )


ROWS = 10  # held-out rows of each task


def results(
    tasks: tuple[str, ...], seeds: tuple[int, ...] = (0,), recipes: tuple[str, ...] = RECIPES
) -> list[RowResults]:
    """Each model's rows: losses that fall with the budget, and the base model's; all rows have 8 tokens."""
    rng = np.random.default_rng(3)
    keys = [("held_out", task, f"{at}-{row}") for at, task in enumerate(tasks) for row in range(ROWS)]
    tokens, base = np.full(len(keys), 8.0), np.repeat(rng.uniform(4, 6, len(tasks)), ROWS)
    found = [RowResults(None, None, None, keys, row_columns(base * tokens, tokens, np.zeros(len(keys))))]
    for budget in BUDGETS:
        for recipe in recipes:
            for seed in seeds:
                losses = base * 60 / (budget + 20 * (recipe == "smart")) + 0.1 * rng.normal(size=len(keys))
                matches = (losses < 0.5).astype(float)
                found.append(RowResults(budget, recipe, seed, keys, row_columns(losses * tokens, tokens, matches)))
    return found


def measurements(tasks: tuple[str, ...], seeds: tuple[int, ...] = (0,)) -> tuple[Measurement, ...]:
    """The figures of each task that the rows come to."""
    rows = []
    for result in results(tasks, seeds):
        for at, task in enumerate(tasks):
            part = slice(at * ROWS, (at + 1) * ROWS)
            loss = float(result.columns["loss_sum"][part].sum() / result.columns["tokens"][part].sum())
            trained = result.budget is not None and at % 5 > 0
            run = (*result.model, "held_out", task)
            rows.append(Measurement(*run, "response_loss", loss, trained, Direction.LOWER))
            matched = float(result.columns["exact_match"][part].mean())
            rows.append(Measurement(*run, "exact_match", matched, trained, Direction.HIGHER))
    return tuple(rows)


def compared_recipes(
    tasks: tuple[str, ...], seeds: tuple[int, ...] = (0,), recipes: tuple[str, ...] = RECIPES
) -> tuple[ComparisonResult, ...]:
    """What the rows say."""
    return compare_recipes(results(tasks, seeds, recipes), ComparisonSpec({"proportional": "proportional"}))


def example_content(tasks: tuple[str, ...] = TASKS, seeds: tuple[int, ...] = (0,)) -> ReportContent:
    """A whole report over the tasks."""
    means, described = task_means(len(tasks)), summaries(tasks)
    gains = np.sort(np.random.default_rng(1).gamma(2.0, 1.0, len(tasks)))[::-1]
    softmax = 1 + gains + gains**2 / 2
    return ReportContent(
        title="SMART mixture report: sample",
        tasks=described,
        plane=task_plane(tasks, means),
        kernel=TaskKernel(tasks, means @ means.T),
        objectives=(ObjectiveGains("graph_cut(redundancy_weight=0.4)", tasks, gains, softmax / softmax.sum()),),
        mixtures=mixtures(described),
        measurements=measurements(tasks, seeds),
        recipe_comparisons=compared_recipes(tasks, seeds),
        rejections=Rejections(
            counts=(RejectionCount("sample", "empty response", 21), RejectionCount("sample", "not valid JSON", 9)),
            examples=(
                RejectedRow("sample", "tasks/add_numbers.jsonl", 17, "empty response", '{"prompt": "What is 2 + 2?"'),
                RejectedRow("sample", "tasks/broken.parquet", None, "unreadable as Parquet", None),
            ),
            tasks_left_out=("trec",),
        ),
        near_duplicates=NearDuplicateSummary(
            threshold=0.95,
            pairs=123,
            examples=(NearDuplicatePair(0.998, tasks[0], "What is 2 + 3?", tasks[-1], "What is\n2+3 ?"),),
            neighbour_cosines=np.random.default_rng(2).beta(8, 2, 2000).astype(np.float32),
        ),
        provenance=Provenance(
            settings_hash="9f2c51aa",
            artifacts=(ArtifactVersion("raw_tasks", "sample", "b0c7d1e2f3", "2026-01-02T03:04:05Z"),),
            packages={"torch": "2.13.0", "dagster": "1.13.2"},
        ),
    )


HOSTILE = (
    "<script>alert(1)</script>", "a|b", "\x1b[31mred\x1b[0m\x07", "n" * 300, "$x^2$", "$\\frac{", "\\$5", "_hidden",
    "日本語", "  ", "a\u202egnp.exe", "{{ 7 * 7 }}", "../../etc/passwd",
)  # fmt: skip


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG, every chunk's checksum verified."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    kinds, at = [], 8
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0]
        kinds.append(kind)
        at += 12 + length
    assert kinds[-1] == b"IEND"
    return struct.unpack(">II", png[16:24])
