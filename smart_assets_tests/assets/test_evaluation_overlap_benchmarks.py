"""Each match names the very evaluation row, whatever the rule, benchmark and source; long prompts are not misjudged."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from smart_assets.assets.checks.artifact_checks import no_evaluation_text
from smart_assets.assets.evaluation_overlap import KINDS
from smart_assets.assets.reading.evaluation_rows import read_evaluation_rows
from smart_assets.settings import Project
from smart_assets_tests.support.make import make, read_rows
from smart_assets_tests.support.projects import write_project, write_tasks

RANDOM = np.random.default_rng(7)
QUESTIONS = {
    "first": ["What is the capital of France?", "Who wrote the novel War and Peace?"],
    "second": ["How many legs does a spider have?", "Which planet is closest to the sun?"],
}
IN_OTHER_WORDS = {
    "first": ["What's the capital of France?", "Who was it that wrote the novel War and Peace?"],
    "second": ["How many legs does a spider have got?", "Which planet is the closest to the sun?"],
}


def unlike_others(words: int) -> str:
    return " ".join(f"w{number}" for number in RANDOM.integers(0, 5000, words))


def row(prompt: str, response: str = "yes") -> dict[str, str]:
    return {"prompt": prompt, "response": f"{response} {unlike_others(1)}"}


def evaluated(project: Project) -> Mapping[tuple[str, str], str]:
    """The prompt of each evaluation row by benchmark and id."""
    every = read_evaluation_rows(project, [], lambda _: None).rows.to_pylist()
    return {(one["benchmark"], one["id"]): one["prompt"] for one in every}


def exams(root: Path, prompts: Mapping[str, Sequence[str]]) -> dict[str, object]:
    for name, asked in prompts.items():
        write_tasks(root / name, {"exam": [row(prompt) for prompt in asked]})
    return {"held_out": False, "collections": {name: {"path": name} for name in prompts}}


def test_a_match_names_the_evaluation_row_of_its_benchmark(tmp_path: Path) -> None:
    """Every rule, two evaluation rows of each of two benchmarks, in two sources."""
    asked = {
        kind: {name: [unlike_others(60 if kind == "ngram" else 30) for _ in range(2)] for name in QUESTIONS}
        for kind in KINDS[:3]
    } | {"similarity": QUESTIONS}
    evaluate = exams(tmp_path, {name: [p for kind in KINDS for p in asked[kind][name]] for name in QUESTIONS})
    planted: dict[str, tuple[str, str, str]] = {}  # by what is trained on
    for name in QUESTIONS:
        for at in range(2):
            near = asked["near_duplicate"][name][at]
            planted |= {
                asked["exact"][name][at].upper(): ("exact", name, asked["exact"][name][at]),
                f"{unlike_others(40)} {asked['ngram'][name][at]}": ("ngram", name, asked["ngram"][name][at]),
                f"{near} {unlike_others(1)}": ("near_duplicate", name, near),
                IN_OTHER_WORDS[name][at]: ("similarity", name, QUESTIONS[name][at]),
            }
    sides = [row(unlike_others(12)) for _ in range(9)], [row(unlike_others(12)) for _ in range(5)]
    for number, prompt in enumerate(planted):
        sides[number % 2].append(row(prompt))
    write_tasks(tmp_path / "more", {"beta": sides[1]})
    changes = {
        "sources": {"small": {"kind": "folder", "path": "tasks"}, "more": {"kind": "folder", "path": "more"}},
        "validation": {"fraction": 0},
        "evaluate": evaluate,
    }
    project = write_project(tmp_path, {"alpha": sides[0]}, changes)
    make(project, "evaluation_overlap")
    prompts = evaluated(project)
    trained = {
        one["id"]: one["prompt"]
        for source in ("small", "more")
        for one in read_rows(project, "raw_tasks", "instances.parquet", source)
    }
    seen: set[tuple[str, str, str]] = set()
    for match in read_rows(project, "evaluation_overlap", "overlaps.parquet"):
        kind, name, prompt = planted[trained[match["id"]]]
        named = prompts[match["benchmark"], match["evaluation_id"]]
        if match["kind"] != "similarity":  # to an encoder, texts of unknown words are all alike
            assert (match["benchmark"], named) == (name, prompt), match["kind"]
        if match["kind"] == kind:
            seen.add((kind, match["benchmark"], named))
    assert set(planted.values()) <= seen


PREAMBLE = unlike_others(1200)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Prompts that are alike up to where the encoder stops, and for nine tenths of their words."""
    root = tmp_path_factory.mktemp("long")
    own = [unlike_others(40) for _ in range(26)]
    evaluate = exams(root, {"exam": [f"{PREAMBLE} {text}" for text in own[:6]] + [unlike_others(20)]})
    nearly = own[0].rsplit(" ", 1)[0]  # the prompt of an evaluation row, but for its last word
    tasks = {
        "shots": [row(f"{PREAMBLE} {text}") for text in [*own[6:], nearly]],
        "short": [row(unlike_others(5)) for _ in range(20)],
    }
    changes = {
        "embedding": {"batch_size": 1, "max_length": 32},
        "budgets": [24],
        "recipes": ["random"],
        "validation": {"fraction": 0},
        "evaluate": evaluate,
    }
    project = write_project(root, tasks, changes)
    make(project, "selected_subset")
    return project


def test_prompts_with_a_long_beginning_in_common_are_no_evaluation_text(long: Project) -> None:
    overlaps = read_rows(long, "evaluation_overlap", "overlaps.parquet")
    assert {match["kind"] for match in overlaps} == {"ngram", "near_duplicate", "similarity"}
    assert len({match["id"] for match in overlaps}) == 1, "the one that is nearly an evaluation prompt"
    undecided = read_rows(long, "evaluation_overlap", "undecided.parquet")
    assert {(match["kind"], match["task"]) for match in undecided} == {("near_duplicate", "shots")}
    assert len({match["id"] for match in undecided}) == 20
    assert {match["task"] for match in read_rows(long, "selected_subset", "subset.parquet", "24|random")} == {
        "shots",
        "short",
    }


def test_the_check_says_what_it_could_not_see(long: Project) -> None:
    manifest = long.store.current("evaluation_overlap", None)
    assert manifest is not None
    assert manifest.summary["prompts longer than the encoder reads"] == {
        "training rows": 0,
        "evaluation rows": {"exam": 0},
    }
    assert manifest.summary["prompts read in part"] == {"training rows": 21, "evaluation rows": {"exam": 6}}
    result = no_evaluation_text(long, "24|random")
    taken = read_rows(long, "selected_subset", "subset.parquet", "24|random")
    undecided = sum(one["task"] == "shots" for one in taken)
    assert result.passed
    assert result.sentence == (
        "no row is held out, of an unseen task, or found to hold text of the 7 evaluation rows compared with; "
        f"{undecided} rows share half an evaluation row, or a template alone, with much of a task: undecided; "
        "vectors are of some windows alone of 21 training and 6 evaluation prompts that have more than "
        "embedding.windows"
    )
    assert result.figures["rows undecided"] == undecided
    assert result.figures["evaluation rows compared with"] == {"exam": 7}
