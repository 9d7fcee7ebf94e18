"""Prompts embedded a second, beside sentence-transformers in float32: `python -m benchmarks.embedding --help`."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from smart_assets.embedding.encoder import load_encoder
from smart_assets.embedding.identity import local_model, resolve_precision
from smart_assets.embedding.settings import Embedding

SEED = 7
PARTS = 5
TASKS = Path(__file__).resolve().parents[2] / "shared" / "data" / "t0"
Vectors = NDArray[np.float32]


def main(
    tasks: Annotated[Path, typer.Option(help="A folder of .jsonl files with prompts.", exists=True)] = TASKS,
    rows: Annotated[int, typer.Option(help="Prompts, drawn over all files with a fixed seed.", min=PARTS)] = 1500,
    model: Annotated[str, typer.Option(help="As `embedding.model` in smart.yaml.")] = Embedding().model,
    device: Annotated[str, typer.Option(help="As torch names it.")] = "cpu",
) -> None:
    """Embed the same prompts with both, in turns, and compare the time and the vectors."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    settings = Embedding(model=model)
    encoder = load_encoder(settings, device)
    peer = SentenceTransformer(str(local_model(settings) or model), device=device)
    prompts = draw(tasks, rows)
    for warm in (peer.encode, encoder.encode):
        warm(prompts[:32])
    print(
        f"{rows} prompts on {device}; ours in {resolve_precision(settings)}, sentence-transformers in float32",
        flush=True,
    )
    ours, theirs, cosines = 0.0, 0.0, list[NDArray[np.float64]]()
    for part in np.array_split(np.arange(rows), PARTS):
        texts = [prompts[row] for row in part]
        seconds, expected = timed(peer.encode, texts)
        theirs += seconds
        seconds, vectors = timed(encoder.encode, texts)
        ours += seconds
        cosines.append(np.einsum("nd,nd->n", unit(vectors), unit(expected)))
    cosine = np.concatenate(cosines)
    print(f"sentence-transformers: {rows / theirs:,.1f} prompts/s\nours: {rows / ours:,.1f} prompts/s")
    print(f"ratio: {theirs / ours:.2f}\ncosine: smallest {cosine.min():.6f}, median {np.median(cosine):.6f}")


def draw(tasks: Path, rows: int) -> list[str]:
    """Return some prompts of all files."""
    lines = [line for path in sorted(tasks.glob("*.jsonl")) for line in path.open(encoding="utf-8", newline="\n")]
    drawn = np.random.default_rng(SEED).choice(len(lines), rows, replace=False)
    return [json.loads(lines[row])["prompt"] for row in drawn]


def timed(embed: Callable[[list[str]], Vectors], prompts: list[str]) -> tuple[float, Vectors]:
    """Return the seconds, and the vectors."""
    start = time.perf_counter()
    vectors = embed(prompts)
    return time.perf_counter() - start, vectors


def unit(vectors: Vectors) -> NDArray[np.float64]:
    """Return the rows scaled to length 1, in float64."""
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


if __name__ == "__main__":
    typer.run(main)
