"""Fine-tuning jobs over a few sums, and the program that does them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.training.job import TrainingJob
from smart_assets.training.settings import Finetune

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "smart_assets.training"]


def sums(count: int) -> list[tuple[str, str]]:
    return [(f"What is {number} + 1?", f"The answer is {number + 1}.") for number in range(count)]


SUMS = sums(40)


def make_job(folder: Path, base: Path, pairs: list[tuple[str, str]] = SUMS, **settings: Any) -> TrainingJob:
    """A job in `folder`; row ids are r0, r1 ..., tasks t0 and t1 in turn."""
    table = pa.table(
        {
            "id": [f"r{index}" for index in range(len(pairs))],
            "task": [f"t{index % 2}" for index in range(len(pairs))],
            "prompt": pa.array([prompt for prompt, _ in pairs], pa.string()),
            "response": pa.array([response for _, response in pairs], pa.string()),
            "messages": pa.array([None] * len(pairs), pa.string()),
        }
    )
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / "rows.parquet")
    defaults = {"learning_rate": 1e-2, "effective_batch": 16, "micro_batch": 8, "precision": "float32"}
    return TrainingJob(
        rows=folder / "rows.parquet",
        out=folder / "out",
        model_cache=folder / "cache",
        finetune=Finetune.model_validate({"base_model": str(base)} | defaults | settings),
        seed=0,
    )


def write_job(folder: Path, rows: int, **settings: Any) -> Path:
    """A job of the model in `folder` over so many sums, as a file; it leaves its results in `results/out`."""
    job = make_job(folder, folder / "model", sums(rows))
    finetune = Finetune.model_validate({"base_model": str(folder / "model")} | settings)
    job.model_copy(update={"out": folder / "results" / "out", "finetune": finetune}).write(folder / "job.json")
    return folder / "job.json"


def start(job: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*PROGRAM, str(job)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def await_first_step(program: subprocess.Popen[str]) -> None:
    assert program.stderr is not None
    assert any(line.startswith("step 1/") for line in iter(program.stderr.readline, ""))
