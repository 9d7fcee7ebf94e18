"""What the way back costs: `python -m benchmarks.audit --rows 1000000 --subsets 200 --out FOLDER`.

Writes a store straight through its API: one source of so many rows with vectors, so many subsets of 10,000 rows, of
which the last is current, and a checkpoint of two seeds for each. Then every audit runs three times in a process of its
own, and the fastest is printed: Python's imports, the audit from reading smart.yaml to its answer, and what all cores
computed for it, which a busy machine stretches less. What an audit of a text takes to load the encoder, a static one
here, and to encode is told apart.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.synthetic import write_encoder
from smart_assets.assets.model_records import CheckpointSummary, RecordedBaseModel, RecordedDrop, TrainingRecord
from smart_assets.assets.parquet import write_table
from smart_assets.assets.prompt_embeddings import ROWS
from smart_assets.assets.step import grid_key
from smart_assets.embedding.identity import encoder_version
from smart_assets.mixture.mixture import MIXTURE_COLUMNS
from smart_assets.settings import Project, load_project
from smart_assets.store import Artifact, Manifest
from smart_assets.tasks.read_result import ORIGINS, REJECTED, TASKS
from smart_assets.tasks.rows import content_hash

SUBSET_ROWS = 10_000
TASKS_OF_SOURCE = 200
DIMENSIONS = 384
SETTINGS = """\
sources: {big: {kind: folder, path: tasks}}
budgets: [10000]
recipes: [smart]
embedding: {model: ./encoder, precision: float32}
finetune: {base_model: tiny, seeds: [0, 1]}
device: cpu
"""
CHILD = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from smart_assets.lineage.audit import groups, rows
from smart_assets.settings import load_project
config, kind, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
audits = {"row": rows.audit_row, "text": rows.audit_text, "task": groups.audit_task, "source": groups.audit_source}
loaded, computed = time.perf_counter(), time.process_time()
found = audits[kind](load_project(config), name, *([0.95] if kind in ("row", "text") else []))
seconds, computed = time.perf_counter() - loaded, time.process_time() - computed
held = len(found.held_by) if hasattr(found, "held_by") else None
if held is None:
    traced = [found.row] if kind == "row" else found.same_prompt.rows
    held = sum(len(row.held_by) for row in traced)
print(f"{loaded - began:.2f} {seconds:.2f} {computed:.2f} {held}")
"""
ENCODE = """
import sys, time
from pathlib import Path
from smart_assets.settings import load_project
settings = load_project(Path(sys.argv[1])).settings.embedding
began = time.perf_counter()
from smart_assets.embedding.encoder import load_encoder
load_encoder(settings, "cpu").encode([sys.argv[2]])
print(f"{time.perf_counter() - began:.2f}")
"""


class Synthetic:
    """Writes the store."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder = folder
        write_encoder(folder / "encoder", DIMENSIONS)
        config = folder / "smart.yaml"
        config.write_text(SETTINGS, encoding="utf-8")
        (folder / "tasks").mkdir()
        self.project: Project = load_project(config)
        self.random = np.random.default_rng(0)
        prompts = np.array([f"prompt {index} of the synthetic source, long enough to be one" for index in range(rows)])
        tasks = np.array([f"task {index % TASKS_OF_SOURCE}" for index in range(rows)])
        responses = np.array([f"answer {index * 7919} to it, about as long as answers are" for index in range(rows)])
        parts = zip(tasks, prompts, responses, strict=True)
        ids = np.array([content_hash(*row) for row in parts])
        order = np.argsort(ids)
        self.ids, self.tasks, self.prompts, self.responses = (
            column[order] for column in (ids, tasks, prompts, responses)
        )

    def write(self, subsets: int) -> None:
        """Write the source, its vectors, and the subsets with their checkpoints, oldest first."""
        rows = self._source()
        self._vectors(rows)
        for number in range(subsets):
            self._checkpoint(self._subset(rows, number), number)

    def _source(self) -> Manifest:
        count = len(self.ids)
        texts = pa.array(self.prompts, pa.large_string())
        hashes = pa.array([content_hash(text) for text in self.prompts.tolist()])
        self.rows = pa.table(
            {
                "id": self.ids,
                "task": self.tasks,
                "template": [""] * count,
                "prompt": texts,
                "response": pa.array(self.responses, pa.large_string()),
                "messages": pa.nulls(count, pa.large_string()),
                "prompt_hash": hashes,
                "split": np.where(np.arange(count) % 20, "train", "validation"),
                "cluster": hashes,
            }
        )
        places = pa.table([self.rows["id"], ["all.jsonl"] * count, np.arange(1, count + 1)], schema=ORIGINS)
        names, counts = np.unique(self.tasks, return_counts=True)
        origins = self._commit(
            "raw_tasks.origins",
            {
                "origins.parquet": places,
                "rejected.parquet": REJECTED.empty_table(),
                "tasks.parquet": pa.table([names, counts, np.zeros_like(counts)], schema=TASKS),
            },
        )
        artifact = self._commit("raw_tasks", {"instances.parquet": self.rows})
        summary = {"rows": count, "training rows": count, "validation rows": 0, "rejected rows": 0}
        summary |= {"tasks": len(names), "templates": len(names), "tasks without rows": []}
        settings = self.project.settings
        source = {"source": settings.sources["big"].parameters(), "validation": settings.validation.model_dump()}
        return self._record(artifact, "big", {}, attachments={"origins": origins}, summary=summary, parameters=source)

    def _vectors(self, rows: Manifest) -> None:
        vectors = self.random.standard_normal((len(self.ids), DIMENSIONS), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        artifact = self._commit("prompt_embeddings", {"rows.parquet": self.rows.select(ROWS.names)}, vectors)
        encoder = encoder_version(self.project.settings.embedding)
        inputs = {"raw_tasks[big]": rows.content_version}
        self._record(artifact, "big", inputs, parameters={"encoder": encoder})

    def _subset(self, rows: Manifest, number: int) -> Manifest:
        picked = np.sort(self.random.choice(len(self.ids), SUBSET_ROWS, replace=False))
        picked[0] = 1  # in all of them
        picked = picked[np.argsort(self.tasks[picked], kind="stable")]
        columns = [self.ids[picked], ["big"] * SUBSET_ROWS, self.tasks[picked], [""] * SUBSET_ROWS]
        figures = [np.arange(SUBSET_ROWS), self.random.random(SUBSET_ROWS), pa.nulls(SUBSET_ROWS, pa.int64())]
        artifact = self._commit(
            "selected_subset", {"subset.parquet": pa.table(columns + figures, schema=MIXTURE_COLUMNS)}
        )
        inputs = {"raw_tasks[big]": rows.content_version}
        return self._record(artifact, grid_key(SUBSET_ROWS, "smart"), inputs, run=number)

    def _checkpoint(self, subset: Manifest, number: int) -> None:
        key = grid_key(SUBSET_ROWS, "smart")
        with self.project.store.draft() as draft:
            (draft / "content").mkdir()
            (draft / "content" / "weights").write_text(f"{number}", encoding="utf-8")
            artifact = self.project.store.commit("finetuned_checkpoint", draft / "content")
        dropped = RecordedDrop(id=str(self.ids[number]), reason="too long")
        training = TrainingRecord(
            base_model=RecordedBaseModel(reference="synthetic", revision=None, weights_sha256="0" * 64),
            hyperparameters={},
            seed=0,
            processes=1,
            precision="float32",
            device="cpu",
            rows=SUBSET_ROWS,
            dropped=[dropped],
            truncated=[],
            response_tokens=SUBSET_ROWS,
            steps=1,
            final_loss=1.0,
            mean_last_losses=1.0,
        )
        summary = CheckpointSummary(rows=SUBSET_ROWS, seeds={0: training, 1: training.model_copy(update={"seed": 1})})
        inputs = {f"selected_subset[{key}]": subset.content_version}
        self._record(artifact, key, inputs, summary=summary.as_kept(), run=number)

    def _commit(self, asset: str, tables: dict[str, pa.Table], vectors: np.ndarray | None = None) -> Artifact:
        with self.project.store.draft() as draft:
            (draft / "content").mkdir()
            for name, table in tables.items():
                write_table(table, draft / "content" / name)
            if vectors is not None:
                np.save(draft / "content" / "vectors.npy", vectors, allow_pickle=False)
            return self.project.store.commit(asset, draft / "content")

    def _record(
        self, artifact: Artifact, partition: str, inputs: dict[str, str], run: int = 0, **more: object
    ) -> Manifest:
        manifest = Manifest(
            asset=artifact.asset,
            partition=partition,
            content_version=artifact.version,
            fingerprint=artifact.version,
            inputs=inputs,
            code_version="1",
            files=artifact.files,
            made={
                "at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
                "run_id": f"run-{run}",
                "seconds": 1.0,
            },
            **{"parameters": {}, **more},  # pyright: ignore[reportArgumentType]
        )
        self.project.store.record(manifest)
        return manifest


def main() -> None:
    """Write the store, unless it is there, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, help="1,000,000 if unset.")
    parser.add_argument("--subsets", type=int, help="200 if unset.")
    parser.add_argument("--out", type=Path, help="Keep the store here, or use the one that is there.")
    arguments = parser.parse_args()
    if arguments.out and (arguments.out / "smart.yaml").exists() and (arguments.rows or arguments.subsets):
        raise SystemExit(f"{arguments.out} holds a store: leave out --rows and --subsets to use it, or name another")
    rows, subsets = arguments.rows or 1_000_000, arguments.subsets or 200
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = (arguments.out or Path(scratch) / "audit").resolve()
        if not (folder / "smart.yaml").exists():
            folder.mkdir(parents=True, exist_ok=True)
            began = time.perf_counter()
            synthetic = Synthetic(folder, rows)
            synthetic.write(subsets)
            known = {"id": str(synthetic.ids[1]), "task": "task 7", "text": str(synthetic.prompts[1])}
            (folder / "known.json").write_text(json.dumps(known), encoding="utf-8")
            print(f"written in {time.perf_counter() - began:.0f} s\n")
        _measure(folder)


def _measure(folder: Path) -> None:
    config, known = folder / "smart.yaml", json.loads((folder / "known.json").read_text(encoding="utf-8"))
    print(
        "| audit | imports (s) | audit (s) | of all cores (s) | subsets and checkpoints found |\n|---|---|---|---|---|"
    )
    for kind, name in (
        ("row", known["id"]),
        ("row", known["id"][:12]),
        ("task", known["task"]),
        ("source", "big"),
        ("text", known["text"]),
    ):
        tries = [_run(CHILD, config, kind, name).split() for _ in range(3)]
        imports, seconds, computed, held = min(tries, key=lambda one: float(one[1]))
        print(f"| `{kind} {name[:24]}` | {imports} | {seconds} | {computed} | {held} |", flush=True)
    print(f"\nof the last one, loading the encoder and encoding take {_run(ENCODE, config, known['text'])} s")


def _run(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return done.stdout.strip()


if __name__ == "__main__":
    main()
