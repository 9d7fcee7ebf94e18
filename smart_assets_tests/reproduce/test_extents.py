"""Reproductions that reach further: from the raw rows, through the vectors, and to weights trained again."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from smart_assets.assets.checks.artifact_checks import GAIN_TOLERANCE
from smart_assets.assets.step import RunContext
from smart_assets.core.errors import ProgramError, SmartError, StoreError, UpstreamMissingError
from smart_assets.lineage.diff.references import find_subset
from smart_assets.reproduce.launch import launcher
from smart_assets.reproduce.reproduction import Extent, reproduce
from smart_assets.reproduce.weights import compare_weights
from smart_assets.settings import Project
from smart_assets.training.finetune import finetune as finetune_job
from smart_assets.training.job import TrainingJob
from smart_assets_tests.support.make import current, make
from smart_assets_tests.support.projects import own_copy
from smart_assets_tests.support.subsets_project import again, edit, state, tamper, write
from smart_assets_tests.support.tiny_model import make_tiny_model


@pytest.fixture
def project(subsets_folder: Path, tmp_path: Path) -> Project:
    return own_copy(subsets_folder, tmp_path)


def test_from_raw_rows_and_vectors_are_compared_too(project: Project, tmp_path: Path) -> None:
    embeddings = current(project, "prompt_embeddings", "small")
    vectors = np.load(project.store.artifact(embeddings) / "vectors.npy")
    turned = vectors.copy()
    turned[3] = np.roll(turned[3], 1)
    tamper(project, embeddings, "vectors.npy", lambda path: np.save(path, turned))
    make(project, "selected_subset")
    text = (project.root / "tasks" / "all.jsonl").read_text()
    (project.root / "tasks" / "all.jsonl").write_text(text.replace("item 1:", "thing 1:"))
    before = state(project)
    found = again(project, tmp_path, from_raw=True)
    assert state(project) == before
    [source] = found.rows
    assert (source.stored, source.read, source.only_stored, source.only_read) == (77, 77, 3, 3)
    assert not source.identical
    assert source.words
    [one] = found.vectors
    distance = 1 - float(turned[3].astype(np.float64) @ vectors[3].astype(np.float64))
    assert (one.prompts, one.differing) == (74, 1)
    assert one.max_distance == pytest.approx(distance, abs=1e-6)
    assert one.mean_distance == pytest.approx(distance / 74, abs=1e-6)


def test_other_vectors_of_the_same_rows_move_gains_alone(tmp_path: Path) -> None:
    project = write(tmp_path, recipes={"mixed": {"preset": "smart", "instances": "random"}})
    make(project, "selected_subset")
    assert again(project, tmp_path, "mixed").subset.identical, "vectors count by the tasks' means alone"
    shutil.rmtree(tmp_path / "again")

    def blur(path: Path) -> None:
        for name in ("vectors.npy", "task_means.npy"):
            vectors = np.load(path.with_name(name))
            noise = np.random.default_rng(0).standard_normal(vectors.shape)
            np.save(path.with_name(name), (vectors + 1e-4 * noise).astype(np.float32))

    tamper(project, current(project, "prompt_embeddings", "small"), "vectors.npy", blur, {"tasks": "0" * 32})
    make(project, "selected_subset")
    found = again(project, tmp_path, "mixed", from_raw=True)
    assert found.vectors[0].differing == 77
    assert found.subset.figures_apart > GAIN_TOLERANCE
    assert not found.subset.identical
    assert found.holds


def test_a_program_that_fails_ends_with_its_code() -> None:
    told: list[str] = []
    with pytest.raises(ProgramError, match="the program ended with code 3"):
        launcher(told.append)(["-c", "print('a line', flush=True); raise SystemExit(3)"])
    assert told == ["a line"]


def test_from_raw_another_encoder_is_refused(project: Project, tmp_path: Path) -> None:
    changed = edit(project, "batch_size: 1", "max_length: 16")
    assert again(changed, tmp_path).holds, "stored vectors need no encoder"
    shutil.rmtree(tmp_path / "again")
    with pytest.raises(SmartError, match=r"prompt_embeddings\[small\] .* encoder changed.* Set them back"):
        again(changed, tmp_path, from_raw=True)


def test_without_a_checkpoint_nothing_can_be_trained_again(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UpstreamMissingError, match=r"no finetuned_checkpoint\[20\|smart\] was trained on version"):
        again(project, tmp_path, train=True)


def test_weights_are_compared_to_the_bit(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    old = {"a": torch.tensor([1.0, 0.0]), "b": torch.ones(2, 2), "c": torch.ones(1), "e": torch.tensor([float("nan")])}
    new = {"a": torch.tensor([1.5, -0.0]), "b": torch.ones(4), "d": torch.ones(1), "e": torch.tensor([float("nan")])}
    for name, tensors in (("old", old), ("new", new)):
        (tmp_path / name / "model").mkdir(parents=True)
        save_file(tensors, tmp_path / name / "model" / "model.safetensors")
    same = compare_weights(0, tmp_path / "old", tmp_path / "old")
    assert (same.identical, same.tensors) == (True, 4)
    found = compare_weights(0, tmp_path / "old", tmp_path / "new")
    assert {one.name.split()[1]: one.largest for one in found.differing} == {"a": 0.5, "b": None, "c": None, "d": None}
    assert found.largest is None, "a tensor that cannot be compared stands first"
    save_file({**old, "a": torch.tensor([1.0, -0.0])}, tmp_path / "new" / "model" / "model.safetensors")
    found = compare_weights(0, tmp_path / "old", tmp_path / "new")
    assert not found.identical, "zeros of two signs are other bits"
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no weights"):
        compare_weights(0, tmp_path / "empty", tmp_path / "empty")


def test_training_again_gives_the_same_weights(tmp_path: Path) -> None:
    """Once in this process, then by the real program: float32 on a CPU."""
    make_tiny_model(tmp_path / "model", chat=True)
    finetune = {"base_model": "model", "effective_batch": 4, "micro_batch": 2, "precision": "float32"}
    project = write(tmp_path, recipes=["random"], finetune=finetune)
    told: list[str] = []

    def here(arguments: Sequence[str]) -> None:
        finetune_job(TrainingJob.read(Path(arguments[-1])), lambda _: None)

    make(project, "finetuned_checkpoint", run=RunContext(log=lambda _: None, launch=here, device="cpu"))
    run = RunContext(log=told.append, launch=launcher(told.append), device="cpu")
    checkpoint = current(project, "finetuned_checkpoint", "20|random")
    changed = edit(project, "effective_batch: 4", "effective_batch: 8")
    before = state(project)
    subset = find_subset(changed.store, 20, "random", None)
    found = reproduce(changed, subset, tmp_path / "again", Extent(train=True, seed=0), run)
    assert state(project) == before
    assert found.holds
    [weights] = found.weights
    assert (weights.seed, weights.identical) == (0, True)
    assert weights.tensors > 10
    assert any("step 5/5" in line for line in told), "the program's progress is told"
    assert checkpoint.summary["seeds"]["0"]["steps"] == 5
    with pytest.raises(UpstreamMissingError, match=r"has no seed 7; its seeds are \[0\]"):
        reproduce(changed, subset, tmp_path / "more", Extent(train=True, seed=7), run)
