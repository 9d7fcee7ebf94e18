"""Evaluation text planted in the training rows of a small project is found, left out and shown, and nothing else is."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from smart_assets.assets import evaluation_overlap
from smart_assets.assets.checks.artifact_checks import no_evaluation_text
from smart_assets.assets.reading.evaluation_rows import outside_state, read_evaluation_rows
from smart_assets.assets.step import RunContext
from smart_assets.core.errors import BudgetError, SelectionError
from smart_assets.defs.metadata import metadata_of
from smart_assets.defs.run import run_plan
from smart_assets.lineage.diff.references import find_subset
from smart_assets.planning.graph import closure, find_partitions
from smart_assets.planning.materialize import MaterializeResult
from smart_assets.reproduce.reproduction import Extent, Reproduction, reproduce
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.dagster_runs import Lines, run_check
from smart_assets_tests.support.make import made_again, make, read_rows
from smart_assets_tests.support.programs import no_program
from smart_assets_tests.support.projects import rows, write_project, write_tasks

PREAMBLE = (
    "You are given a passage of a travel diary and are to say in one word where its author was at noon of that day"
)
LONG = (
    "On the third of May the ferry left Piraeus two hours late, with forty passengers, a cage of hens and a piano that "
    "nobody had ordered; by evening the island's only tuner had been woken and was arguing about the price."
)
EXAM: Sequence[dict[str, str]] = [
    {"prompt": "What is the capital of France?", "response": "Paris"},
    {"prompt": "Name the largest moon of Saturn.", "response": "Titan"},
    {"prompt": "Summarise: " + LONG, "response": "A late ferry brings an unordered piano."},
    {
        "prompt": "List three rivers that flow through Vienna, Budapest and Belgrade on their way to the Black Sea",
        "response": "Danube",
    },
    {"prompt": f"{PREAMBLE}. We climbed past olive terraces until the monastery bell rang.", "response": "monastery"},
]
PLANTED = {
    "exact": {"prompt": "name the  LARGEST moon of Saturn.", "response": "It is Titan."},
    "ngram": {"prompt": "Translate into German.", "response": f"Here it is in English first: {LONG}"},
    "near_duplicate": {
        "prompt": "List three rivers that flow through Vienna, Budapest and Belgrade on their way to the Black Sea!",
        "response": "the Danube",
    },
    "similarity": {"prompt": "What's the capital of France?", "response": "It's Paris"},
}
DIARY = ["harbour", "tavern", "lighthouse", "vineyard", "cistern", "quarry", "chapel", "windmill", "orchard", "customs"]


def diary(count: int) -> list[dict[str, str]]:
    """Rows of one template, which an evaluation row has, too; and short responses, which many rows have."""
    return [
        {
            "prompt": f"{PREAMBLE}. {' '.join(f'{DIARY[(at * step + step) % 10]}{at}{step}' for step in range(14))}",
            "response": "Titan" if at % 2 else "monastery",
        }
        for at in range(count)
    ]


def exam_project(root: Path, **contamination: Any) -> Project:
    write_tasks(root / "exams", {"exam": EXAM})
    (root / "local").mkdir(exist_ok=True)
    (root / "local" / "quiz.jsonl").write_text(json.dumps({"q": EXAM[2]["prompt"], "a": EXAM[2]["response"]}))
    changes = {
        "budgets": [20],
        "validation": {"fraction": 0},
        "evaluate": {
            "held_out": False,
            "collections": {"exams": {"path": "exams"}},
            "tasks": ["quiz"],
            "local_data": {"quiz": "local"},
        },
        "contamination": contamination,
    }
    tasks = {"alpha": rows(1, 25), "diary": diary(20), "planted": list(PLANTED.values())}
    return write_project(root, tasks, changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = exam_project(tmp_path_factory.mktemp("exam"))
    make(project, "selected_subset")
    return project


def planted(project: Project) -> dict[str, str]:
    """The id of each row that was planted."""
    by_prompt = {row["prompt"]: row["id"] for row in read_rows(project, "raw_tasks", "instances.parquet", "small")}
    return {kind: by_prompt[row["prompt"]] for kind, row in PLANTED.items()}


def test_every_rule_finds_what_was_planted_and_nothing_else(made: Project) -> None:
    overlaps = read_rows(made, "evaluation_overlap", "overlaps.parquet")
    ids = planted(made)
    found = {(row["kind"], row["id"], row["benchmark"]): row for row in overlaps}
    for kind, row_id in ids.items():
        assert (kind, row_id, "exams") in found
    assert {row["id"] for row in overlaps} == set(ids.values()), "neither the template's rows, nor those that say Titan"
    ngram = found["ngram", ids["ngram"], "exams"]
    assert ngram["evaluation_task"] == "exam"
    assert 0.6 < ngram["score"] < 1, "all of the passage, but not the answer"
    local = found["ngram", ids["ngram"], "quiz"]
    assert (local["evaluation_id"], local["score"]) == ("quiz.jsonl:1", ngram["score"])
    assert not {row["kind"] for row in overlaps if row["id"] == ids["similarity"]} - {"similarity"}


def test_what_n_grams_cannot_tell_is_counted_and_listed(made: Project) -> None:
    undecided = read_rows(made, "evaluation_overlap", "undecided.parquet")
    assert {row["task"] for row in undecided} == {"diary"}, "a template, or half of what is asked in all its rows"
    assert {row["score"] for row in undecided} == {13 / 23}, "of the prompt"
    unsearched = read_rows(made, "evaluation_overlap", "unsearched.parquet")
    asked = {row["id"]: row["prompt"] for row in read_evaluation_rows(made, [], lambda _: None).rows.to_pylist()}
    assert [asked[row["evaluation_id"]] for row in unsearched] == [
        asked[row_id] for row_id in asked if asked[row_id] in (EXAM[0]["prompt"], EXAM[1]["prompt"])
    ]
    manifest = made.store.current("evaluation_overlap", None)
    assert manifest is not None
    assert manifest.summary["rows undecided, by task"] == {"diary": 20}
    assert manifest.summary["evaluation rows that n-grams cannot tell"] == {
        "fewer words than an n-gram": {"exams": 2},
        "all its n-grams are common to its own task or template": {},
    }


def test_found_rows_are_in_no_subset_and_the_rest_closes_up(made: Project) -> None:
    for recipe in ("smart", "random"):
        subset = read_rows(made, "selected_subset", "subset.parquet", f"20|{recipe}")
        assert len(subset) == 20
        assert not {row["id"] for row in subset} & set(planted(made).values())
        manifest = made.store.current("selected_subset", f"20|{recipe}")
        assert manifest is not None
        assert manifest.summary["rows left out for evaluation text"] == 4
        assert manifest.summary["left out by rule"]["exact"] == 1
        assert no_evaluation_text(made, f"20|{recipe}").passed


def test_a_second_run_embeds_no_evaluation_prompt_again(made: Project) -> None:
    manifest = made.store.current("evaluation_overlap", None)
    assert manifest is not None
    assert manifest.made["prompts embedded"] == len(EXAM)
    assert made_again(make(made, "selected_subset")) == []
    with (made.root / "exams" / "exam.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "Which gas do plants breathe in?", "response": "carbon dioxide"}) + "\n")
    outcomes = make(made, "selected_subset")
    assert made_again(outcomes) == ["evaluation_overlap"], "found are the same rows: subsets stay"
    assert outcomes["evaluation_overlap"].manifest.made["prompts embedded"] == 1


def test_dagster_is_shown_figures_and_ids_but_no_text(made: Project) -> None:
    manifest = made.store.current("evaluation_overlap", None)
    assert manifest is not None
    shown = metadata_of(made, MaterializeResult(manifest, unchanged=False))
    assert shown["rows by kind"].value["similarity"] >= 1
    table = shown["rows with the text of"]
    assert set(planted(made).values()) == {record.data["id"] for record in table.records}
    assert "capital" not in str(shown)


@pytest.fixture
def unexcluded(tmp_path: Path) -> Project:
    """With all rows taken, those that hold evaluation text among them."""
    exam_project(tmp_path, exclude=False)
    config = tmp_path / "smart.yaml"
    config.write_text(config.read_text().replace("- 20\n", "- 49\n"))
    return load_project(config)


def test_without_exclusion_the_check_warns_and_names_the_rows(unexcluded: Project) -> None:
    display = Lines()
    summary = run_plan(unexcluded, closure(unexcluded, find_partitions(unexcluded, ["selected_subset"])), display)
    assert (summary.failed, summary.held_up) == ({}, {}), "a warning stops nothing"
    result = no_evaluation_text(unexcluded, "49|random")
    assert (result.passed, result.warning) == (False, True)
    assert result.sentence in display.warned
    assert result.figures["rows with evaluation text"] == 4
    assert result.sentence == (
        "4 rows hold text of rows that are evaluated on; 2 of them n-grams could not look for (fewer words than an "
        "n-gram); 20 rows share half an evaluation row, or a template alone, with much of a task: undecided"
    )
    evaluation = run_check(unexcluded, "no_evaluation_text", "selected_subset", "49|random")
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    table = evaluation.metadata["rows"]
    assert isinstance(table, dg.TableMetadataValue)
    assert {record.data["id"] for record in table.records} == set(planted(unexcluded).values())
    strict = load_project(unexcluded.config)
    strict.config.write_text(strict.config.read_text().replace("exclude: false", "exclude: true"))
    result = no_evaluation_text(load_project(strict.config), "49|random")
    assert (result.passed, result.warning) == (False, False)


def test_a_subset_is_reproduced_with_the_rows_of_then_left_out(
    made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(place: str) -> Reproduction:
        run = RunContext(log=lambda _: None, launch=no_program, device="cpu")
        return reproduce(made, find_subset(made.store, 20, "random", None), tmp_path / place, Extent(), run)

    found = again("derived")
    assert (found.holds, found.notes) == (True, ())
    with monkeypatch.context() as later:
        later.setattr(evaluation_overlap, "CODE_VERSION", "later")
        found = again("by other rules")
        assert (found.holds, found.notes) == (
            True,
            (
                "the rows that hold evaluation text were found by the rules of code version 3, here it is later: they "
                "are taken as they are stored",
            ),
        )
    with (made.root / "exams" / "exam.jsonl").open("a") as file:
        file.write(json.dumps(rows(1, 1)[0]) + "\n")  # a training row, by now
    found = again("given")
    assert found.holds
    assert found.notes == (
        "the rows that hold evaluation text were found by evaluation sets, or an encoder, that are not those of "
        "smart.yaml any more: they are taken as they are stored",
    )


def test_a_budget_beyond_what_is_left_says_so(made: Project, tmp_path: Path) -> None:
    config = tmp_path / "smart.yaml"
    text = made.config.read_text().replace("- 20\n", "- 46\n").replace(": tasks", f": {made.root / 'tasks'}")
    config.write_text(
        text.replace(": exams", f": {made.root / 'exams'}").replace(": local", f": {made.root / 'local'}")
    )
    with pytest.raises(BudgetError, match=r"got 46.* \(\d training rows hold evaluation text and are left out\)"):
        make(load_project(config), "selected_subset")


def test_when_no_row_is_left_the_setting_is_named(tmp_path: Path) -> None:
    write_tasks(tmp_path / "exams", {"exam": rows(1, 12)})
    changes = {
        "validation": {"fraction": 0},
        "evaluate": {"held_out": False, "collections": {"exams": {"path": "exams"}}},
        "contamination": {"similarity": None},
        "recipes": ["random"],
    }
    project = write_project(tmp_path, {"alpha": rows(1, 12)}, changes)
    with pytest.raises(SelectionError, match=r"all 12 training rows hold text .* `contamination.exclude: false`"):
        make(project, "selected_subset")


def test_only_what_is_asked_of_a_collection_is_evaluation_text(tmp_path: Path) -> None:
    project = exam_project(tmp_path)
    every = read_evaluation_rows(project, [], lambda _: None).rows.to_pylist()
    assert [row["benchmark"] for row in every].count("exams") == len(EXAM)
    evaluate = project.settings.evaluate.model_copy(update={"max_rows_per_task": 2})
    bounded = replace(project, settings=project.settings.model_copy(update={"evaluate": evaluate}))
    asked = [row["id"] for row in read_evaluation_rows(bounded, [], lambda _: None).rows.to_pylist()]
    assert asked[:2] == sorted(row["id"] for row in every if row["benchmark"] == "exams")[:2]
    assert len(asked) == 3, "and the row of the local set"
    assert outside_state(bounded)[0] != outside_state(project)[0]


TIMES = (1, 2, 3, 4, 6, 12, 20)  # of 20 rows
RANDOM = np.random.default_rng(0)


def unlike_others(words: int) -> str:
    return " ".join(f"w{number}" for number in RANDOM.integers(0, 5000, words))


def test_a_prompt_planted_any_number_of_times_is_in_no_subset(tmp_path: Path) -> None:
    """With the settings that are there by default: 60 words of a test, in some or all rows of a task of 20."""
    asked = {times: unlike_others(60) for times in TIMES}
    tasks = {
        f"planted_{times}": [
            {"prompt": f"{unlike_others(10)} {prompt if at < times else unlike_others(60)}", "response": f"{at}"}
            for at in range(20)
        ]
        for times, prompt in asked.items()
    }
    write_tasks(tmp_path / "exams", {"exam": [{"prompt": prompt, "response": "yes"} for prompt in asked.values()]})
    changes = {
        "budgets": [20],
        "recipes": ["random"],
        "validation": {"fraction": 0},
        "evaluate": {"held_out": False, "collections": {"exams": {"path": "exams"}}},
        "contamination": {"similarity": None},
    }
    project = write_project(tmp_path, tasks, changes)
    make(project, "selected_subset")
    overlaps = read_rows(project, "evaluation_overlap", "overlaps.parquet")
    found = Counter(row["task"] for row in overlaps if row["kind"] == "ngram")
    assert found == {f"planted_{times}": times for times in TIMES}
    manifest = project.store.current("selected_subset", "20|random")
    assert manifest is not None
    assert manifest.summary["rows left out for evaluation text"] == sum(TIMES)
    assert no_evaluation_text(project, "20|random").passed
