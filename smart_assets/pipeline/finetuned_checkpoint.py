"""`finetuned_checkpoint`: the base model fine-tuned on a subset, once for each seed, by a program of its own."""

import json
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.pipeline.parquet import write_table
from smart_assets.pipeline.program import run_program
from smart_assets.pipeline.rows import TEXT_COLUMNS, raw_task_inputs, read_training_rows, rows_in_order
from smart_assets.pipeline.step import AssetPartition, Draft, Input, Inputs, Made, RunContext, Wanted
from smart_assets.settings import Project
from smart_assets.training.base_model import base_model_version
from smart_assets.training.job import TrainingJob

NAME = "finetuned_checkpoint"
CODE_VERSION = "1"
# The base model counts by its content.
_NOT_CONTENT = {"base_model", "revision", "trust_remote_code"}


def wanted(project: Project, partition: str | None) -> Wanted:
    """Made from the subset and the base model. The texts are in the subset's version: an id is a hash of its row."""
    finetune = project.settings.finetune
    full = finetune.method == "full"
    return Wanted(
        AssetPartition(NAME, partition),
        inputs=(Input(AssetPartition("selected_subset", partition)), *raw_task_inputs(project, counts=False)),
        parameters={
            "finetune": finetune.model_dump(mode="json", exclude=_NOT_CONTENT | ({"lora"} if full else set())),
            "base_model": base_model_version(finetune.base_model, finetune.revision),
        },
        code_version=CODE_VERSION,
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> Made:
    """Write `seed-N/` for every seed: `model/` or `adapter/` (safetensors), `loss.parquet`, `result.json`."""
    subset = pq.read_table(inputs.folder("selected_subset", partition) / "subset.parquet")
    texts = read_training_rows(project, inputs, subset["id"])
    results: dict[str, dict[str, object]] = {}
    cost: dict[str, object] = {}
    for seed in project.settings.finetune.seeds:
        rows = rows_in_order(texts, rows_of_seed(subset, seed)["id"].to_pylist())
        rows_path = out.folder / f"rows-{seed}.parquet"
        write_table(rows.select(TEXT_COLUMNS), rows_path)
        folder = out.content / f"seed-{seed}"
        job = TrainingJob(
            rows=rows_path,
            out=folder,
            model_cache=project.store.cache_folder("models"),
            finetune=project.settings.finetune,
            seed=seed,
            device=run.device,
        )
        run.log(f"{NAME}[{partition}]: fine-tuning on {rows.num_rows} rows, seed {seed}")
        cost[f"seed {seed}"] = run_program(run, "smart_assets.training", partial(TrainingJob.write, job), folder)
        results[str(seed)] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return Made(summary={"rows": subset.num_rows, "seeds": results}, cost=cost)


def rows_of_seed(subset: pa.Table, seed: int) -> pa.Table:
    """The rows that one seed trains on: its own row set where rows are drawn at random, else the one there is."""
    return subset.filter(pc.fill_null(pc.equal(subset["seed"], seed), True))
