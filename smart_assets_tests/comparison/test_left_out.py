"""What falls out of a comparison is named with the cause: which model was not asked it, and since when it is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smart_assets.assets import base_model_results, eval_results
from smart_assets.assets.reading.report_content import gather
from smart_assets.assets.reading.row_results import read_results, unlike_in
from smart_assets.assets.step import Inputs
from smart_assets.comparison.compare_recipes import ComparisonSpec, compare_recipes
from smart_assets.comparison.comparison_record import comparison_record
from smart_assets.comparison.findings import omissions
from smart_assets.comparison.left_out import LeftOut, ModelCoverage, in_words, left_out, models_left_out
from smart_assets.comparison.row_results import RowResults, share_rows
from smart_assets.comparison.shared_tasks import compare_shared_tasks
from smart_assets.core.metrics import HELD_OUT
from smart_assets.planning.graph import desired_state, find_partitions
from smart_assets.report.content import NotShared, ReportContent
from smart_assets.report.difference_chapter import with_left_out
from smart_assets.report.layout import Chapter
from smart_assets.report.page import render_page
from smart_assets.settings import Project
from smart_assets_tests.support.make import make
from smart_assets_tests.support.measurements import measured, row_columns
from smart_assets_tests.support.projects import in_tasks, rows, write_project
from smart_assets_tests.support.report_example import HOSTILE

OLD, NEW, NEWER = "2026-05-01T03:00:00.000+00:00", "2026-06-01T03:00:00.000+00:00", "2026-06-01T04:00:00.000+00:00"
BASE, SMART, RANDOM = "the base model", "smart at 200 rows", "random at 200 rows"


def asked(model: str, keys: str, evaluated: str = "", refused: str = "") -> ModelCoverage:
    """Keys such as `a1 a2 b1`: task and row."""
    told = {(key[0], key): "roles must alternate" for key in refused.split()}
    return ModelCoverage(model, {(key[0], key) for key in keys.split()}, evaluated, told)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        pytest.param([asked(BASE, "a1"), asked(SMART, "a1")], [], id="all the same"),
        pytest.param(
            [asked(BASE, "a1", OLD), asked(SMART, "a1 d1 d2", NEW), asked(RANDOM, "a1 d1 d2", NEWER)],
            [LeftOut("d", 2, True, f"not asked of {BASE}, evaluated before the others were asked it")],
            id="a task that came",
        ),
        pytest.param(
            [asked(BASE, "a1", NEW), asked(SMART, "a1 g1", OLD), asked(RANDOM, "a1", NEWER)],
            [LeftOut("g", 1, True, f"asked of {SMART} alone, evaluated before it was asked no more")],
            id="a task that went",
        ),
        pytest.param(
            [asked(BASE, "a1 a2", OLD), asked(SMART, "a1 a3 a4", NEW)],
            [
                LeftOut(
                    "a",
                    3,
                    False,
                    f"2 rows, not asked of {BASE}, evaluated before the others were asked it, and "
                    f"1 row, asked of {BASE} alone, evaluated before it was asked no more",
                )
            ],
            id="new held-out rows",
        ),
        pytest.param(
            [asked(BASE, "a1", OLD), asked(SMART, "a1 b1", NEW), asked(RANDOM, "a1", NEWER)],
            [LeftOut("b", 1, True, f"not asked of {BASE} and {RANDOM}")],
            id="time tells nothing",
        ),
        pytest.param(
            [asked(BASE, "a1"), asked(SMART, "a1 b1")],
            [LeftOut("b", 1, True, f"not asked of {BASE}")],
            id="times are not known",
        ),
        pytest.param(
            [asked(BASE, "a1", NEW, "b1"), asked(SMART, "a1 b1", OLD)],
            [LeftOut("b", 1, True, f"refused by the chat template of {BASE} (roles must alternate)")],
            id="refused",
        ),
        pytest.param(
            [asked(SMART, "a1"), asked(SMART, "a1 b1"), asked(RANDOM, "a1 b1")],
            [LeftOut("b", 1, True, f"not asked of 1 of 2 seeds of {SMART}")],
            id="one seed",
        ),
        pytest.param(
            [asked(BASE, "a1"), asked(SMART, "b1")],
            [LeftOut("a", 1, True, f"not asked of {SMART}"), LeftOut("b", 1, True, f"not asked of {BASE}")],
            id="nothing in common",
        ),
        pytest.param(
            [asked(BASE, "a1 b1 c1 c2"), asked(SMART, "b1 c1")],
            [LeftOut("a", 1, True, f"not asked of {SMART}"), LeftOut("c", 1, False, f"not asked of {SMART}")],
            id="whole tasks first",
        ),
    ],
)
def test_causes(models: list[ModelCoverage], expected: list[LeftOut]) -> None:
    assert list(left_out(models)) == expected


def test_no_model_leaves_out_nothing() -> None:
    assert left_out([]) == ()


def test_what_is_left_out_and_what_is_shared_are_all_there_is() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        keys = [f"{task}{row}" for task in "abc" for row in range(4)]
        models = [asked(f"m{at}", " ".join(k for k in keys if rng.random() < 0.8)) for at in range(rng.integers(1, 4))]
        shared = set.intersection(*(set(one.keys) for one in models))
        everything = set.union(*(set(one.keys) for one in models))
        found = left_out(models)
        assert sum(one.rows for one in found) == len(everything) - len(shared)
        assert {one.task for one in found if one.whole} == {task for task, _ in everything} - {
            task for task, _ in shared
        }


def test_a_model_that_was_asked_nothing_of_a_benchmark_is_named() -> None:
    assert models_left_out([asked(SMART, "a1", NEW)], [asked(BASE, "", OLD)]) == (
        f"not asked of {BASE}, evaluated before the others were asked it"
    )
    assert models_left_out([asked(SMART, "a1")], []) == ""


def test_words_are_short_and_count_the_rest() -> None:
    same = [LeftOut(f"t{at}", 1, True, "one cause") for at in range(8)]
    others = [LeftOut(f"u{at}", 1, True, f"cause {at}") for at in range(4)]
    assert in_words([*same, *others]) == (
        "t0, t1, t2, t3, t4 and 3 more: one cause; u0: cause 0; u1: cause 1; 2 tasks more for other causes"
    )


def results(budget: int | None, recipe: str | None, keys: str, evaluated: str) -> RowResults:
    found = [(HELD_OUT, key[0], key) for key in keys.split()]
    ones = np.ones(len(found))
    seed = None if recipe is None else 0
    return RowResults(budget, recipe, seed, found, row_columns(ones, ones, ones), evaluated=evaluated)


TRAINED = "a1 a2 b1 d1 d2"


def test_sentences_record_and_table_of_a_comparison_name_the_task_and_the_cause() -> None:
    """The base model was evaluated before the task `d` came, which the other two were asked."""
    models = [
        results(None, None, "a1 a2 b1", OLD),
        results(200, "smart", TRAINED, NEW),
        results(200, "random", TRAINED, NEW),
    ]
    comparison = compare_recipes(models, ComparisonSpec({"random": "random"}))[0]
    cause = "not asked of the base model, evaluated before the others were asked it"
    told = omissions(comparison)
    assert f"left out: 1 task not measured in every run (d: {cause}) and 2 rows not asked in every run" in told
    assert "1 task of one row" in told
    assert told.endswith("(b).")
    assert comparison_record(comparison)["left out"] == [{"task": "d", "rows": 2, "whole": True, "cause": cause}]
    assert any(told == sentence for sentence in comparison_record(comparison)["sentences"])


def test_a_benchmark_of_which_no_row_was_asked_of_all_is_told_as_such() -> None:
    [shared] = share_rows([results(200, "smart", "a1", OLD), results(200, "random", "b1", NEW)])
    part = NotShared("Held-out rows", len(shared.tasks), shared.rows, shared.left_out, shared.models_left_out)
    chapter = with_left_out(Chapter("differences", "Differences", ()), [part])
    assert "Held-out rows: nothing is compared, since no row was asked of all models." in chapter.sentences
    [shown] = chapter.tables
    assert [[cell.text for cell in row] for row in shown.rows] == [
        ["a", "1", "no row", "asked of smart at 200 rows alone, evaluated before it was asked no more"],
        ["b", "1", "no row", "not asked of smart at 200 rows, evaluated before the others were asked it"],
    ]


def test_a_model_that_was_evaluated_otherwise_is_compared_with_none() -> None:
    """Other code scores other tokens of the same rows: its figures are of another scale."""
    old = replace(results(None, None, "a1 a2", OLD), unlike="other code")
    models = [old, results(200, "smart", "a1 a2", NEW), results(200, "random", "a1 a2", NEW)]
    comparison = compare_recipes(models, ComparisonSpec({"random": "random"}))[0]
    assert {(one.budget, one.recipe) for one in comparison.scores} == {(200, "smart"), (200, "random")}
    assert comparison.to_base == ()
    cause = f"not compared: {BASE}, evaluated with other code; `smart run` evaluates again"
    assert comparison.models_left_out == cause
    assert any(cause in sentence for sentence in comparison_record(comparison)["sentences"])


def test_evaluations_by_other_code_than_the_newest_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path, changes={"budgets": [20]})
    make(project, "mixture_report")
    assert base_model_results.CODE_VERSION == eval_results.CODE_VERSION, "one program evaluates both: raise both"

    def unlike() -> dict[str | None, str]:
        return {one.recipe: one.unlike for one in read_results(project, inputs_of_report(project))}

    assert unlike() == {None: "", "smart": "", "random": ""}
    monkeypatch.setattr(base_model_results, "CODE_VERSION", "99")
    make(project, "base_model_results")
    assert unlike() == {None: "", "smart": "other code", "random": "other code"}
    for part in gather(project, inputs_of_report(project)).not_shared:
        assert "evaluated with other code; `smart run` evaluates again" in part.models_left_out
    monkeypatch.setattr(eval_results, "CODE_VERSION", "99")
    make(project, "eval_results")
    assert unlike() == {None: "", "smart": "", "random": ""}


@pytest.mark.parametrize(
    ("one", "newest", "told"),
    [
        ({"code": "3", "prompt_format": "chat"}, {"code": "3", "prompt_format": "chat"}, ""),
        ({"code": "3", "prompt_format": "plain"}, {"code": "3", "prompt_format": "chat"}, "other prompt_format"),
        ({"code": "2"}, {"code": "3", "prompt_format": "chat", "system_turns": "keep"}, "other code"),
        ({"code": "3", "system_turns": "fold"}, {"code": "2"}, "other code"),
        (
            {"code": "3", "system_turns": "fold", "template_date": "2026-01-01"},
            {"code": "3", "system_turns": "keep", "template_date": "2024-01-01"},
            "other system_turns and other template_date",
        ),
    ],
)
def test_what_scores_other_tokens_is_named(one: dict[str, object], newest: dict[str, object], told: str) -> None:
    assert unlike_in(one, newest) == told


def test_means_of_metrics_name_what_they_leave_out() -> None:
    losses = {(None, None, None): {"a": 4.0}, (200, "smart", 0): {"a": 1.0, "d": 2.0}}
    [comparison] = compare_shared_tasks(measured(losses), (), {(None, None): OLD, (200, "smart"): NEW})
    assert in_words(comparison.left_out) == (
        "d: not asked of the base model, evaluated before the others were asked it"
    )


def test_hostile_names_are_text() -> None:
    hostile = tuple(LeftOut(name, 1, True, f"not asked of {name}") for name in HOSTILE)
    page = render_page(ReportContent("t", not_shared=(NotShared(HOSTILE[0], 1, 1, hostile, HOSTILE[1]),)))
    assert "<script>alert" not in page
    assert "tasks with rows that not all models were asked" in page


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    return write_project(folder, changes={"budgets": [20]})


def test_a_project_whose_base_model_stands_on_old_rows_says_so_until_it_is_evaluated_anew(project: Project) -> None:
    make(project, "base_model_results", "eval_results")
    in_tasks(lambda tasks: tasks.update(delta=rows(4, 12)))(project)
    make(project, "eval_results")
    [part] = gather(project, inputs_of_report(project)).not_shared
    [new] = [one for one in part.left_out if one.task == "delta"]
    assert (new.whole, new.cause) == (True, "not asked of the base model, evaluated before the others were asked it")
    make(project, "base_model_results")
    [part] = gather(project, inputs_of_report(project)).not_shared
    assert (part.left_out, part.models_left_out) == ((), "")
    assert part.tasks == 4


def inputs_of_report(project: Project) -> Inputs:
    [key] = find_partitions(project, ["mixture_report"])
    found = {
        item.source: project.store.current(item.source.asset, item.source.partition)
        for item in desired_state(project, key).inputs
    }
    return Inputs(project.store, {source: manifest for source, manifest in found.items() if manifest is not None})
