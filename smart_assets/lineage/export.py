"""A selected subset with its texts, as files for any trainer."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.errors import SmartError, UpstreamMissingError
from smart_assets.pipeline.finetuned_checkpoint import rows_of_seed
from smart_assets.pipeline.rows import raw_task_inputs, read_training_rows, rows_in_order
from smart_assets.pipeline.step import AssetPartition, Inputs, grid_key
from smart_assets.settings import Project

COLUMNS = ["prompt", "response", "task", "template", "id", "source", "rank", "gain"]


def subset_rows(project: Project, budget: int, recipe: str, seed: int | None) -> pa.Table:
    """The rows of a subset with their texts, in mixture order (COLUMNS, and `messages` where there are chats).

    Args:
        seed: whose row set, where rows are random; None for the first.

    Raises:
        UpstreamMissingError: the subset, or the rows that it names, were never made.
        SmartError: there is no row set of that seed.
    """
    key = AssetPartition("selected_subset", grid_key(budget, recipe))
    needed = [key, *(item.source for item in raw_task_inputs(project))]
    found = {one: project.store.current(one.asset, one.partition) for one in needed}
    for one, manifest in found.items():
        if manifest is None:
            raise UpstreamMissingError(f"{one} was never made: run `smart run --select '{key}'` first")
    inputs = Inputs(project.store, {one: manifest for one, manifest in found.items() if manifest is not None})
    subset = pq.read_table(inputs.folder("selected_subset", key.partition) / "subset.parquet")
    chosen = _row_set(subset, seed)
    texts = rows_in_order(read_training_rows(project, inputs, chosen["id"]), chosen["id"].to_pylist())
    rows = texts.append_column("rank", chosen["rank"]).append_column("gain", chosen["gain"])
    chats = rows["messages"].null_count < rows.num_rows
    return rows.select([*COLUMNS, "messages"] if chats else COLUMNS)


def _row_set(subset: pa.Table, seed: int | None) -> pa.Table:
    seeds = [value for value in pc.unique(subset["seed"]).to_pylist() if value is not None]
    if not seeds:
        return subset
    wanted = seeds[0] if seed is None else seed
    if wanted not in seeds:
        raise SmartError(f"there is no row set of seed {wanted}; `finetune.seeds` gives {seeds}")
    return rows_of_seed(subset, wanted)


def write_rows(rows: pa.Table, out: Path) -> None:
    """Write rows as JSONL or Parquet by the name's ending, else as a folder that `datasets.load_dataset` reads.

    Written beside and renamed in.

    Raises:
        SmartError: the ending is none of these, `out` is a folder with something in it, or it cannot be written.
    """
    writers: dict[str, Callable[[pa.Table, Path], None]] = {
        ".jsonl": _write_jsonl,
        ".parquet": pq.write_table,
        "": _write_dataset,
    }
    write = writers.get(out.suffix)
    if write is None:
        raise SmartError(f"{out}: the ending must be .jsonl or .parquet, or none for a Hugging Face dataset folder")
    if out.is_dir() and any(out.iterdir()):
        raise SmartError(f"{out} is a folder with files in it: name a new one")
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write(rows, draft)
        os.replace(draft, out)
    except OSError as error:
        raise SmartError(f"{out} cannot be written: {error.strerror}") from error


def _write_jsonl(rows: pa.Table, path: Path) -> None:
    import json

    with path.open("w", encoding="utf-8") as stream:
        for batch in rows.to_batches(max_chunksize=10_000):
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())


def _write_dataset(rows: pa.Table, folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    pq.write_table(rows, folder / "data" / "train-00000-of-00001.parquet")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n"
    (folder / "README.md").write_text(card + "\nA mixture selected by SMART Assets.\n", encoding="utf-8")
