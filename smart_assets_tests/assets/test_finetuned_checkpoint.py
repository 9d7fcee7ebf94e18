"""The asset `finetuned_checkpoint`: what is trained again and what is taken over, and how a program's end is told."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.assets.checks.artifact_checks import loss_is_finite
from smart_assets.assets.finetuned_checkpoint import BOARD
from smart_assets.assets.programs.job_folder import workplace
from smart_assets.assets.step import AssetPartition
from smart_assets.core.errors import ProgramError
from smart_assets.planning.materialize import MaterializeResult
from smart_assets.settings import Project
from smart_assets_tests.support.make import make, run_context
from smart_assets_tests.support.programs import Launch, Programs
from smart_assets_tests.support.projects import write_project

KEY = AssetPartition("finetuned_checkpoint", "10|random")


def train(project: Project, programs: Launch) -> MaterializeResult:
    return make(project, str(KEY), run=run_context(programs))[str(KEY)]


def with_seeds(project: Project, seeds: list[int], **finetune: object) -> Project:
    settings = json.loads(json.dumps({"seeds": seeds} | finetune))
    return write_project(project.root, changes={"finetune": {"base_model": "tiny", **settings}})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return with_seeds(write_project(tmp_path), [0])


class Failing(Programs):
    """Does so many jobs, and then is killed."""

    def __init__(self, jobs: int) -> None:
        super().__init__()
        self.left = jobs

    def __call__(self, arguments: Sequence[str]) -> None:
        self.left -= 1
        if self.left < 0:
            raise ProgramError("External execution process failed with code -9")
        super().__call__(arguments)


def test_one_more_seed_trains_only_that_one(project: Project) -> None:
    first = train(project, Programs()).manifest
    programs = Programs()
    second = train(with_seeds(project, [0, 1]), programs).manifest
    assert programs.jobs == ["smart_assets.training"]
    assert second.made["seed-0"]["reused"]
    assert "reused" not in second.made["seed-1"]
    of_seed_0 = [
        {file.path: file.sha256 for file in one.files if file.path.startswith("seed-0/")} for one in (first, second)
    ]
    assert of_seed_0[0] == of_seed_0[1] != {}


def test_another_learning_rate_trains_all_seeds(project: Project) -> None:
    train(project, Programs())
    programs = Programs()
    train(with_seeds(project, [0, 1], learning_rate=1e-3), programs)
    assert len(programs.jobs) == 2


def test_a_damaged_seed_is_trained_again(project: Project) -> None:
    manifest = train(project, Programs()).manifest
    (project.store.artifact(manifest) / "seed-0" / "model" / "weights").write_text("0" * 66)
    programs = Programs()
    train(with_seeds(project, [0, 1]), programs)
    assert len(programs.jobs) == 2


def test_a_killed_run_goes_on_behind_the_seeds_that_were_done(project: Project) -> None:
    project = with_seeds(project, [0, 1, 2])
    with pytest.raises(ProgramError, match=r"the program was killed, most likely because .* memory was full"):
        train(project, Failing(2))
    assert project.store.current(KEY.asset, KEY.partition) is None
    programs = Programs()
    outcome = train(project, programs)
    assert programs.jobs == ["smart_assets.training"]
    assert sorted(outcome.manifest.summary["seeds"]) == ["0", "1", "2"]
    assert not list(project.store.cache_folder("training").iterdir())


def test_what_tensorboard_shows_lies_beside_the_checkpoint(project: Project) -> None:
    manifest = train(project, Programs()).manifest
    assert not any(BOARD in file.path for file in manifest.files)
    assert [file.path for file in manifest.attachments[BOARD].files] == ["seed-0/events"]
    assert not any("timing" in file.path for file in manifest.files)


class Told(Programs):
    """Trains to losses that it is told."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = losses

    def __call__(self, arguments: Sequence[str]) -> None:
        super().__call__(arguments)
        out = Path(json.loads(Path(arguments[2]).read_text(encoding="utf-8"))["out"])
        pq.write_table(pa.table({"step": range(1, len(self.losses) + 1), "loss": self.losses}), out / "loss.parquet")
        result = json.loads((out / "result.json").read_text(encoding="utf-8"))
        result |= {"mean_last_losses": self.losses[-1], "final_loss": self.losses[-1]}
        (out / "result.json").write_text(json.dumps(result), encoding="utf-8")


@pytest.mark.parametrize(
    ("losses", "passed", "warning", "sentence"),
    [
        pytest.param([4.0, 3.0, 4.5], True, False, "all 3 losses are finite", id="noise"),
        pytest.param([4.0, 3.0, 459.0], False, True, "seed 0 diverged.*lower finetune.learning_rate", id="diverged"),
        pytest.param([4.0, float("nan")], False, False, "1 of 2 losses are not finite", id="nan"),
    ],
)
def test_losses_are_judged(project: Project, losses: list[float], passed: bool, warning: bool, sentence: str) -> None:
    train(project, Told(losses))
    found = loss_is_finite(project, KEY.partition)
    assert (found.passed, found.warning) == (passed, warning)
    assert re.search(sentence, found.sentence)


def test_trackers_and_saved_steps_do_not_count(project: Project) -> None:
    train(project, Programs())
    assert train(with_seeds(project, [0], save_minutes=1, gradient_checkpointing=True), Programs()).unchanged


def test_a_workplace_serves_one_at_a_time_and_is_found_again(tmp_path: Path) -> None:
    first = workplace(tmp_path, "key", tmp_path / "scratch")
    (first.folder / "step").touch()
    second = workplace(tmp_path, "key", tmp_path / "scratch")
    assert second.folder == tmp_path / "scratch" / "job-key"
    second.clear()
    assert (first.folder / "step").exists()
    first.clear()
    assert not list(workplace(tmp_path, "key", tmp_path / "scratch").folder.iterdir())
