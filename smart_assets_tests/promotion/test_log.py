"""The log of promotions against a plain stack; its link, and what kills, clocks and lost files leave of it."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.cli.models import show_models
from smart_assets.core.errors import SmartError, StoreError, UpstreamMissingError
from smart_assets.promotion.log import Promoted, history, link, pinned, production, promote, record, rollback
from smart_assets.settings import Project
from smart_assets.store import Manifest, Store
from smart_assets.store.log import append, records
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.promotions import RULE, evaluate, losses, measurement, model_of, train

PARTITIONS = ("10|smart", "10|random", "20|smart")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write_project(tmp_path, changes={"promotion": RULE, "evaluate": {"tasks": ["mmlu"]}})


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from([*PARTITIONS, "back"]), max_size=12))
def test_production_is_the_top_of_a_stack(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    project = write_project(tmp_path_factory.mktemp("stack"))
    models = {name: model_of(train(project, name, name)) for name in PARTITIONS}
    stack: list[Promoted] = []
    expected = 0
    for step in steps:
        if step == "back" and len(stack) < 2:
            with pytest.raises(SmartError, match="nothing to roll back to"):
                rollback(project)
        elif step == "back":
            stack.pop()
            assert rollback(project, "worse answers").production == stack[-1]
            expected += 1
        else:
            again = bool(stack) and stack[-1] == models[step]
            budget, recipe = step.split("|")
            assert promote(project, int(budget), recipe).changed is not again
            if not again:
                stack.append(models[step])
                expected += 1
        assert production(project) == (stack[-1] if stack else None)
        newest = stack[-project.settings.retention.newest :]
        assert pinned(project) == {model.content_version for model in newest}
        assert len(history(project)) == expected
        if stack:
            seed = (project.store.root / "production").resolve()
            assert (seed.name, seed.parent.name) == ("seed-3", stack[-1].content_version)


def test_promoting_takes_the_newest_checkpoint_and_the_seed_asked_for(project: Project) -> None:
    train(project, "old")
    checkpoint = train(project, "new")
    assert promote(project, 10, "smart", seed=1).production == model_of(checkpoint, seed=1)
    assert (project.store.root / "production" / "model" / "weights").read_text() == "new 1"
    change = promote(project, 10, "smart", reason="the first seed")
    assert change.production == model_of(checkpoint, seed=3)
    assert "no eval_results" in change.sentence
    evaluate(project, checkpoint, [measurement(losses())] * 2)
    promote(project, 10, "smart", seed=1)
    assert "no eval_results" not in promote(project, 10, "smart", seed=3).sentence
    assert [entry.reason for entry in history(project)][:2] == ["", "the first seed"]


def damage(project: Project, manifest: Manifest) -> None:
    (project.store.artifact(manifest) / "seed-1/model/weights").unlink()


def test_what_cannot_be_promoted_is_refused_and_leaves_no_record(project: Project) -> None:
    with pytest.raises(UpstreamMissingError, match=r"finetuned_checkpoint\[10\|smart\] was never made: `smart models`"):
        promote(project, 10, "smart")
    checkpoint = train(project, "one")
    with pytest.raises(SmartError, match="has no seed 7; its seeds are 3, 1"):
        promote(project, 10, "smart", seed=7)
    damage(project, checkpoint)
    with pytest.raises(StoreError, match=r"not whole in the store: restore .* or `smart run --select"):
        promote(project, 10, "smart")
    assert history(project) == []


def test_a_rollback_needs_the_files_of_what_it_goes_back_to(project: Project) -> None:
    old = train(project, "old")
    promote(project, 10, "smart")
    with pytest.raises(SmartError, match=r"production is 10\|smart, seed 3 \(\w{12}\), and nothing was before it"):
        rollback(project)
    train(project, "new")
    now = promote(project, 10, "smart").production
    damage(project, old)
    with pytest.raises(StoreError, match=r"not whole in the store: restore .* or promote another model"):
        rollback(project)
    assert production(project) == now


def test_two_rollbacks_at_once_take_back_one_model(project: Project) -> None:
    models = [model_of(train(project, name, name)) for name in PARTITIONS]
    for model in models:
        record(project, "promote", model, "")
    for _ in range(2):
        record(project, "rollback", models[-1], "")
    assert production(project) == models[1]


def test_pins_hold_the_evaluation_that_candidates_are_compared_with(project: Project) -> None:
    checkpoint = train(project, "one")
    evaluation = evaluate(project, checkpoint, [measurement(losses())])
    promote(project, 10, "smart")
    train(project, "two")
    assert pinned(project) == {checkpoint.content_version, evaluation.content_version}


def test_the_link_is_made_from_the_log(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = train(project, "one")
    promote(project, 10, "smart")
    place = project.store.root / "production"
    assert not place.readlink().is_absolute(), "the store may be moved"
    assert link(project) == place
    place.unlink()
    place.symlink_to("nowhere")
    show_models(project.config)
    assert place.resolve() == project.store.artifact(checkpoint) / "seed-3"
    train(project, "two")
    show_models(project.config)
    shown = capsys.readouterr().out
    row = rf"(?m)^ +10 +smart +{checkpoint.content_version} .* seed 3 *$"
    assert len(re.findall(row, shown)) == 2, "production stays in the table beside a newer checkpoint"
    record(project, "promote", model_of(checkpoint).model_copy(update={"content_version": "0" * 32}), "")
    assert link(project) is None
    assert not place.is_symlink(), "no link rather than one to another model"
    place.mkdir()
    promote(project, 10, "smart")
    assert place.is_dir(), "a folder of that name is nobody's to remove"


def test_another_machine_sees_the_production_of_a_remote_store(tmp_path: Path) -> None:
    here = write_project(tmp_path / "here", changes={"store": "memory://promotions/p"})
    there = write_project(tmp_path / "there", changes={"store": "memory://promotions/p"})
    checkpoint = train(here, "one")
    promote(here, 10, "smart")
    assert production(there) == model_of(checkpoint)
    assert link(there) is None, "its files are not here yet"
    show_models(there.config)
    assert (there.store.root / "production" / "model" / "weights").read_text() == "one 3"
    train(there, "two")
    promote(there, 10, "smart")
    rollback(here)
    assert production(there) == production(here) == model_of(checkpoint)


def test_records_keep_their_order_when_the_clock_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import smart_assets.store.log as module

    class Clock(datetime):
        years = iter((2030, 2010, 2020))

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(next(cls.years), 1, 1, tzinfo=UTC)

    monkeypatch.setattr(module, "datetime", Clock)
    store = Store("store", tmp_path)
    for number in range(3):
        append(store, "decisions", {"number": number})
    assert [entry["number"] for entry in records(store, "decisions")] == [0, 1, 2]


def test_a_kill_while_a_record_is_written_leaves_the_log_as_it_was(project: Project) -> None:
    train(project, "one")
    promote(project, 10, "smart")
    before = history(project)
    train(project, "two")
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from smart_assets.promotion.log import promote
        from smart_assets.settings import load_project
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        promote(load_project(Path({str(project.config)!r})), 10, "smart")
    """)
    done = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert history(project) == before


@pytest.mark.parametrize("text", ["{", "[]", '{"action": "promote"}', ""])
def test_a_record_that_cannot_be_read_is_named(project: Project, text: str) -> None:
    (project.store.root / "promotions").mkdir()
    (project.store.root / "promotions" / "20300101T000000.000000Z-a.json").write_text(text)
    with pytest.raises(StoreError, match=r"promotions.*: restore it, or move it away to undo it"):
        production(project)
