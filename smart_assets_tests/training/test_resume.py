"""A fine-tune that is stopped, again and again, ends with the weights of one that was left alone."""

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smart_assets.core.errors import TrainingError
from smart_assets.training import progress
from smart_assets.training.base_model import BaseModel
from smart_assets.training.finetune import finetune, job_version
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.job import TrainingJob
from smart_assets.training.loading import load_causal_lm
from smart_assets.training.record import TrainingRows
from smart_assets.training.rows import TokenRow
from smart_assets.training.saved_steps import SavedSteps, saved_steps
from smart_assets.training.settings import Finetune
from smart_assets.training.trainer import TrainingSetup
from smart_assets_tests.support.tiny_model import make_tiny_model
from smart_assets_tests.support.training_jobs import SUMS, make_job, start, write_job


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"), chat=True)


@pytest.fixture(autouse=True)
def every_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)


def content(out: Path) -> dict[str, bytes]:
    files = [path for path in out.rglob("*") if path.is_file()]
    kept = [path for path in files if path.name != "timing.json" and path.parent.name != "tensorboard"]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


class StopHere(Exception):  # noqa: N818  (no error)
    """A kill, as near as a test in one process comes to it: nothing after it runs."""


def stop_at(job: TrainingJob, step: int) -> None:
    def log(line: str) -> None:
        if line.startswith(f"step {step}/"):
            raise StopHere

    with pytest.raises(StopHere):
        finetune(job, log)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="full"),
        pytest.param({"method": "lora", "lora": {"dropout": 0.3}}, id="lora with dropout"),
        pytest.param({"gradient_checkpointing": True, "warmup_ratio": 0.5}, id="gradient checkpointing"),
    ],
)
def test_stopped_at_any_step_it_goes_on_to_the_same_bytes(tmp_path: Path, base: Path, settings: dict[str, Any]) -> None:
    whole, often = (
        make_job(tmp_path / name, base, epochs=2, save_minutes=0, **settings) for name in ("whole", "often")
    )
    finetune(whole, lambda line: None)
    for step in (1, 2, 4, 5):
        stop_at(often, step)
        saved = SavedSteps(often.out.parent / "out.steps").newest
        assert (saved and saved.name) == (f"step-{step - 1:09d}" if step > 1 else None)
    lines: list[str] = []
    finetune(often, lines.append)
    assert "going on from saved step 4" in lines
    assert content(whole.out) == content(often.out)
    assert sorted(path.name for path in often.out.parent.iterdir()) == ["out", "rows.parquet"]


def test_killed_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    jobs: list[Path] = []
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        make_tiny_model(tmp_path / name / "model", chat=True)
        settings = {"epochs": 2, "effective_batch": 8, "save_minutes": 0, "precision": "float32"}
        jobs.append(write_job(tmp_path / name, rows=64, **settings))
    whole, killed = (TrainingJob.read(job) for job in jobs)
    finetune(whole, lambda line: None)
    program = start(jobs[1])
    steps = SavedSteps(killed.out.with_name("out.steps"))
    while steps.newest is None:
        assert program.poll() is None, program.communicate()
        time.sleep(0.02)
    program.send_signal(signal.SIGKILL)
    program.communicate()
    assert steps.newest is not None
    _, told = (again := start(jobs[1])).communicate(timeout=120)
    assert again.returncode == 0, told
    assert "going on from saved step" in told
    results = [json.loads((job.out / "result.json").read_text()) for job in (whole, killed)]
    for result in results:
        result["base_model"]["reference"] = "each its own"
    assert results[0] == results[1]
    assert (whole.out / "model" / "model.safetensors").read_bytes() == (
        killed.out / "model" / "model.safetensors"
    ).read_bytes()
    assert os.listdir(killed.out.parent) == ["out"]


OTHER_ROWS = [*SUMS[:-1], (SUMS[-1][0], "I do not know.")]
"""As many rows, and the last one's response another."""


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 5e-3},
        {"epochs": 3.0},
        {"method": "lora"},
        pytest.param({"pairs": OTHER_ROWS}, id="other rows"),
        pytest.param({"seed": 1}, id="another seed"),
    ],
    ids=str,
)
def test_steps_of_another_job_are_never_taken_up(tmp_path: Path, base: Path, change: dict[str, Any]) -> None:
    def another(folder: Path, **settings: Any) -> TrainingJob:
        changed = {"epochs": 2, **settings} | change
        seed = changed.pop("seed", 0)
        return make_job(folder, base, **changed).model_copy(update={"seed": seed})

    stop_at(make_job(tmp_path, base, epochs=2, save_minutes=0), 3)
    other, alone = another(tmp_path, save_minutes=0), another(tmp_path / "alone")
    lines: list[str] = []
    finetune(other, lines.append)
    assert not any("going on" in line for line in lines)
    finetune(alone, lambda line: None)
    assert content(other.out) == content(alone.out)


def test_rows_are_told_apart_by_their_tokens_their_borders_and_what_is_learnt() -> None:
    def rows(*given: tuple[Sequence[int], int]) -> str:
        asked = ChatInstance(id="a", task="t", prompt="", response="", messages=None)
        made = [TokenRow(asked, np.array(tokens, np.int32), start, False, False, False) for tokens, start in given]
        return TrainingRows(made, [], 512).tokens_sha256()

    told = {
        rows(([1, 2, 3], 1), ([4, 5], 1)),
        rows(([1, 2, 3], 2), ([4, 5], 1)),
        rows(([1, 2], 1), ([3, 4, 5], 1)),
        rows(([4, 5], 1), ([1, 2, 3], 1)),
        rows(([1, 2, 3], 1), ([4, 6], 1)),
        rows(([1, 2, 3], 1)),
    }
    assert len(told) == 6
    assert rows(([1, 2, 3], 1), ([4, 5], 1)) in told


def test_two_processes_on_one_job_do_not_share_steps(tmp_path: Path) -> None:
    lines: list[str] = []
    with saved_steps(tmp_path / "steps", "job", lines.append) as mine:
        with saved_steps(tmp_path / "steps", "job", lines.append) as other, other.adding(7):
            assert other.folder != mine.folder
        with mine.adding(3):
            pass
        assert mine.newest == tmp_path / "steps" / "step-000000003"
    assert lines == ["another process is at work on the same fine-tune: this one starts at its first step"]
    assert not list(tmp_path.iterdir())


def test_a_step_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    steps = SavedSteps(tmp_path)
    with steps.adding(9) as folder:
        (folder / "x").touch()
    with pytest.raises(StopHere), steps.adding(10) as folder:  # noqa: PT012
        (folder / "x").touch()
        raise StopHere
    assert [path.name for path in tmp_path.rglob("*")] == ["step-000000009", "x"]
    (tmp_path / ".half").mkdir()  # what a kill leaves
    (tmp_path / "job.txt").write_text("job")
    with pytest.raises(StopHere), saved_steps(tmp_path, "job", lambda line: None) as again:  # noqa: PT012
        assert again.resume == steps.newest
        raise StopHere
    assert not (tmp_path / ".half").exists()


def test_a_full_disk_says_so_and_keeps_what_was_saved(tmp_path: Path, base: Path) -> None:
    import resource

    job = make_job(tmp_path, base, epochs=2, save_minutes=0)
    stop_at(job, 3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # a file system that takes no larger file
    try:
        with pytest.raises(TrainingError, match=r"no space is left where .* is written: free some"):
            finetune(job, lambda line: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not job.out.exists()
    lines: list[str] = []
    finetune(job, lines.append)
    assert "going on from saved step 2" in lines


def test_a_full_memory_says_what_to_change(tmp_path: Path, base: Path) -> None:
    import torch

    from smart_assets.training.failures import memory_advice

    job = make_job(tmp_path, base)
    with (
        pytest.raises(TrainingError, match=r"memory of cpu is full with micro_batch 8: lower finetune\.micro_batch"),
        memory_advice(job.finetune, "cpu"),
    ):
        torch.empty(2**50, dtype=torch.uint8)


def test_a_full_memory_while_a_model_is_loaded_says_so(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    def full(*_: object, **__: object) -> None:
        raise RuntimeError(
            "unable to mmap 538090408 bytes from file </m/model.safetensors>: Cannot allocate memory (12)"
        )

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(TrainingError, match=r"memory is full while its model is loaded: end other programs"):
        load_causal_lm(base, "float32", trust_remote_code=False)


SETUP = TrainingSetup(Finetune(base_model="m", learning_rate=1e-3), 0, "cpu", "float32", 0)
BASE = BaseModel("m", Path("m"), None, "w")


def test_each_thing_that_decides_a_step_names_the_saved_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(*tokens: int) -> TrainingRows:
        asked = ChatInstance(id="a", task="t", prompt="", response="", messages=None)
        return TrainingRows([TokenRow(asked, np.array(tokens, np.int32), 1, False, False, False)], [], 512)

    def settings(**changes: Any) -> TrainingSetup:
        return replace(SETUP, settings=SETUP.settings.model_copy(update=changes))

    before = job_version(rows(1, 2), BASE, SETUP)
    same = [settings(save_minutes=1.0), settings(seeds=[7]), settings(base_model="n"), replace(SETUP, device="cpu:1")]
    assert {job_version(rows(1, 2), BASE, setup) for setup in same} == {before}
    other_weights = replace(BASE, weights_sha256="x")
    versions = [before, job_version(rows(1, 3), BASE, SETUP), job_version(rows(1, 2), other_weights, SETUP)]
    others = [settings(learning_rate=2e-3), settings(epochs=9.0), settings(loss="tokens"), replace(SETUP, seed=1)]
    others += [replace(SETUP, device="cuda:0"), replace(SETUP, precision="bfloat16")]
    versions += [job_version(rows(1, 2), BASE, setup) for setup in others]
    for package in ("torch", "transformers"):
        with monkeypatch.context() as patched:
            patched.setattr(f"{package}.__version__", "0")
            versions.append(job_version(rows(1, 2), BASE, SETUP))
    with monkeypatch.context() as patched:
        patched.setattr("smart_assets.training.finetune.world_size", lambda: 2)
        versions.append(job_version(rows(1, 2), BASE, SETUP))
    assert len(set(versions)) == len(versions)
