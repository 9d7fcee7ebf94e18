"""A store that an earlier version of the product made: it is current, and it answers as it did."""

import json
from typing import Any

import pytest

from smart_assets.assets import catalog
from smart_assets.lineage.history import read_history
from smart_assets.planning.plan import fingerprint_of
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.plans import whole_plan
from smart_assets_tests.support.store_of_before import ANSWERS, QUESTIONS, answers, unpack

MADE = 38
RECORDED: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return load_project(unpack(tmp_path_factory.mktemp("before")))


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SMART_CONFIG", raising=False)
        return answers(tmp_path_factory.mktemp("answered").resolve())


def test_only_rows_vectors_and_what_is_compared_are_made_anew(kept: Project) -> None:
    """Rows are read in more shapes, long prompts in several windows: the rest is made anew where these differ."""
    steps = whole_plan(kept)
    assert {step.key.asset for step in steps.values()} == set(catalog.names())
    stale = {name: step.reasons for name, step in steps.items() if step.status == "stale"}
    assert stale == {
        "raw_tasks[small]": ("code version 1 -> 2",),
        "prompt_embeddings[small]": ("code version 1 -> 2", "windows: None -> 8"),
        "evaluation_overlap": ("code version 2 -> 3", "windows: None -> 8"),
        "mixture_report": ("code version 4 -> 5",),
    }
    assert {step.status for step in steps.values()} == {"stale", "waiting"}


def test_every_manifest_is_read_and_still_gives_its_fingerprint(kept: Project) -> None:
    history = read_history(kept)
    assert history.unreadable == ()
    manifests = [item.manifest for item in history.made]
    assert len(manifests) == MADE
    assert [one.content_version for one in manifests if fingerprint_of(one) != one.fingerprint] == []


def test_every_recorded_answer_is_asked_for() -> None:
    assert set(RECORDED) == {*QUESTIONS, "documents", "forecast"}


@pytest.mark.parametrize("question", RECORDED)
def test_the_answer_is_what_it_was(answered: dict[str, Any], question: str) -> None:
    assert answered[question] == RECORDED[question]
