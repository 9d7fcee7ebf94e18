"""A subset says which of its rows the base model's chat template will refuse, and is the same subset all the same."""

from pathlib import Path
from typing import Any

import pytest

from smart_assets.defs.metadata import metadata_of
from smart_assets.planning.materialize import MaterializeResult
from smart_assets.settings import Project
from smart_assets_tests.support.make import make, run_context
from smart_assets_tests.support.projects import rows, write_project
from smart_assets_tests.support.tiny_model import CHAT_TEMPLATE, GEMMA, REASON, model_with

SUBSET = "selected_subset[10|random]"
REFUSED = "refused by the chat template"


def chat(row: dict[str, str], system: bool) -> dict[str, Any]:
    turns = [("system", "Be kind.")] * system + [("user", row["prompt"]), ("assistant", row["response"])]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def subset_of(root: Path, **finetune: Any) -> tuple[Project, MaterializeResult, list[str]]:
    """A subset of all ten training rows, six of them with a system turn."""
    chats = [chat(row, system=at < 6) for at, row in enumerate(rows(1, 10))]
    changes = {
        "budgets": [10],
        "recipes": ["random"],
        "finetune": finetune,
        "validation": {"fraction": 0},
        "contamination": {"exclude": False},
    }
    project = write_project(root, {"chats": chats}, changes)
    lines: list[str] = []

    def launch(_: object) -> None:
        pytest.fail("a subset needs no program")

    outcomes = make(project, SUBSET, run=run_context(launch, lines.append))
    return project, outcomes[SUBSET], lines


def test_rows_that_the_template_will_refuse_are_said_when_the_subset_is_made(tmp_path: Path) -> None:
    strict = model_with(tmp_path / "strict", GEMMA)
    project, outcome, lines = subset_of(tmp_path / "a", base_model=str(strict))
    assert outcome.manifest.made[REFUSED] == {REASON: 6}
    [said] = [line for line in lines if "will be left out" in line]
    assert said.startswith("6 rows of the subset will be left out of the fine-tune of")
    assert REASON in said
    assert metadata_of(project, outcome)[REFUSED].value == {REASON: 6}

    lenient = model_with(tmp_path / "lenient", CHAT_TEMPLATE)
    for name, finetune in {
        "folded": {"base_model": str(strict), "system_turns": "fold"},
        "plain": {"base_model": str(strict), "prompt_format": "plain"},
        "lenient": {"base_model": str(lenient)},
    }.items():
        project, other, lines = subset_of(tmp_path / name, **finetune)
        assert REFUSED not in other.manifest.made
        assert REFUSED not in metadata_of(project, other)
        assert not [line for line in lines if "left out" in line]
        assert other.manifest.content_version == outcome.manifest.content_version


def test_a_model_that_is_not_at_hand_is_no_fault_of_the_subset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    _, outcome, lines = subset_of(tmp_path, base_model="nobody/such-model")
    assert REFUSED not in outcome.manifest.made
    assert any(line.startswith("whether the chat template refuses rows of the subset shows when") for line in lines)
