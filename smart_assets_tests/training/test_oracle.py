"""The weights of a fine-tune are those of a training loop written by hand: one row, one token at a time."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.training.finetune import finetune
from smart_assets.training.formatting import load_instances
from smart_assets.training.job import TrainingJob
from smart_assets.training.loading import load_causal_lm, load_tokenizer
from smart_assets.training.rows import TokenRow, encode_rows
from smart_assets.training.settings import Finetune, LossMean
from smart_assets_tests.support.row_encoders import encoder_of
from smart_assets_tests.support.tiny_model import make_tiny_model

RATE, DECAY, BATCH = 1e-4, 0.1, 8
LENGTHS = [1, 7, 2, 3, 1, 5, 4, 1, 9, 2, 6, 1, 3, 8, 1, 2, 5, 1, 4, 2, 7, 1]  # the last step has fewer rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"), chat=True)


def job_of(folder: Path, base: Path, loss: LossMean, micro_batch: int, processes: int = 1) -> TrainingJob:
    """Rows whose responses are short and long, so that a mean over rows and one over tokens are far apart."""
    table = {
        "id": [f"r{place}" for place in range(len(LENGTHS))],
        "task": ["t"] * len(LENGTHS),
        "prompt": [f"What is {place} + 1?" for place in range(len(LENGTHS))],
        "response": [" ".join(["The answer is", *["Paris."] * length]) for length in LENGTHS],
        "messages": pa.array([None] * len(LENGTHS), pa.string()),
    }
    folder.mkdir()
    pq.write_table(pa.table(table), folder / "rows.parquet")
    settings = {"loss": loss, "learning_rate": RATE, "weight_decay": DECAY, "effective_batch": BATCH, "epochs": 2}
    return TrainingJob(
        rows=folder / "rows.parquet",
        out=folder / "out",
        model_cache=folder / "cache",
        finetune=Finetune.model_validate(
            {"base_model": str(base), "micro_batch": micro_batch, "precision": "float32"} | settings
        ),
        seed=3,
        processes=processes,
    )


def row_losses(model: Any, row: TokenRow) -> Any:
    """Of each response token, (r,)."""
    import torch

    tokens = torch.tensor(row.tokens.tolist())
    logits = model(tokens[None]).logits[0]
    places = range(row.response_start, len(tokens))
    return torch.stack([-torch.log_softmax(logits[place - 1], dim=0)[tokens[place]] for place in places])


def train_by_hand(job: TrainingJob) -> dict[str, Any]:
    """AdamW with the paper's schedule and clipping; biases and norms do not decay. Gives the weights."""
    import torch

    settings = job.finetune
    model: Any = load_causal_lm(Path(settings.base_model), "float32", trust_remote_code=False)
    model.train()
    tokenizer = load_tokenizer(Path(settings.base_model), trust_remote_code=False)
    rows, _ = encode_rows(encoder_of(tokenizer), load_instances(job.rows), 512)
    draw = np.random.default_rng(job.seed)
    order = np.concatenate([draw.permutation(len(rows)) for _ in range(2)])
    steps = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    names = dict(model.named_parameters())
    matrices = [weight for weight in names.values() if weight.ndim > 1]
    vectors = [weight for weight in names.values() if weight.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}], lr=RATE
    )
    for number, step in enumerate(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * number / len(steps)))
        optimizer.zero_grad()
        tokens = sum(len(rows[place].tokens) - rows[place].response_start for place in step)
        for place in step:
            losses = row_losses(model, rows[place])
            part = losses.mean() / len(step) if settings.loss == "rows" else losses.sum() / tokens
            part.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return {name: weight.detach() for name, weight in names.items()}


def largest_distance(job: TrainingJob, weights: dict[str, Any]) -> float:
    trained = load_causal_lm(job.out / "model", "float32", trust_remote_code=False)
    return max(float((weight - weights[name]).detach().abs().max()) for name, weight in trained.named_parameters())


@pytest.mark.parametrize("loss", ["rows", "tokens"])
@pytest.mark.parametrize("micro_batch", [1, 8])
def test_weights_are_those_of_a_loop_written_by_hand(
    tmp_path: Path, base: Path, loss: LossMean, micro_batch: int
) -> None:
    job = job_of(tmp_path / "job", base, loss, micro_batch)
    finetune(job, lambda line: None)
    assert largest_distance(job, train_by_hand(job)) < 1e-6


@pytest.mark.parametrize("loss", ["rows", pytest.param("tokens", marks=pytest.mark.slow)])
def test_two_processes_come_to_the_weights_of_the_loop_written_by_hand(
    tmp_path: Path, base: Path, loss: LossMean
) -> None:
    job = job_of(tmp_path / "job", base, loss, micro_batch=2, processes=2)
    job.write(tmp_path / "job.json")
    command = [sys.executable, "-m", "smart_assets.training", str(tmp_path / "job.json")]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
    assert largest_distance(job, train_by_hand(job)) < 1e-6


def test_the_two_losses_come_to_other_weights(tmp_path: Path, base: Path) -> None:
    """So that the tests above can tell them apart."""
    jobs = [job_of(tmp_path / loss, base, loss, 4) for loss in ("rows", "tokens")]
    finetune(jobs[0], lambda line: None)
    assert largest_distance(jobs[0], train_by_hand(jobs[1])) > 1e-4
