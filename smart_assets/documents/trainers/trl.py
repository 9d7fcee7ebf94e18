"""TRL: conversational prompt and completion in Parquet; only the completion is learnt."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from smart_assets.assets.parquet import write_table
from smart_assets.documents.exported_rows import ExportedRow, json_text
from smart_assets.documents.trainers.trainer import Trainer, yaml_text

_PLAIN = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
_JSON = pa.list_(pa.json_())
_TURNS, _TEXTS = ("prompt", "completion"), ("tools", "id", "task", "template", "source")
_BATCH_ROWS = 10_000


class Trl(Trainer):
    """https://huggingface.co/docs/trl/dataset_formats."""

    name = "trl"
    title = "TRL"
    checked = "trl 1.16.0: `TrlParser`, `get_dataset` and the preparation of `SFTTrainer`"
    rows_file = "data/train-00000-of-00001.parquet"
    learns = "a dataset of prompt and completion has a loss on the completion alone (`completion_only_loss`)"
    command = "trl sft --config trl.yaml --model_name_or_path MODEL --output_dir DIR"

    def row(self, row: ExportedRow) -> Mapping[str, Any]:
        """Return prompt and completion as lists of turns, and tools as JSON."""
        tools = None if row.tools is None else json_text(row.tools)
        return {"prompt": list(row.before), "completion": [row.response], "tools": tools, **row.identity}

    def configuration(self, _name: str, /) -> Mapping[str, str]:
        """Return the settings of `trl sft` that read it."""
        dataset = {"path": "parquet", "data_files": self.rows_file, "split": "train"}
        return {"trl.yaml": yaml_text({"datasets": [dataset], "completion_only_loss": True})}

    def write(self, rows: Iterable[Mapping[str, Any]], path: Path) -> None:
        """Write Parquet.

        Where a turn has more than role and content, turns are JSON, which `datasets` decodes: a struct would give all
        turns a null in the place of what they lack, which chat templates take for a value.
        """
        left = iter(rows)
        batches: list[pa.RecordBatch] = []
        while batch := list(islice(left, _BATCH_ROWS)):
            batches.append(_batch(batch))
        plain = all(batch.schema.field("prompt").type == _PLAIN for batch in batches)
        table = pa.Table.from_batches(batches if plain else [_of_json(batch) for batch in batches], _schema(plain))
        write_table(table if table["tools"].null_count < table.num_rows else table.drop_columns("tools"), path)


def _schema(plain: bool) -> pa.Schema:
    return pa.schema(dict.fromkeys(_TURNS, _PLAIN if plain else _JSON) | dict.fromkeys(_TEXTS, pa.string()))


def _batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Return rows with turns as structs where all of them are plain, else as JSON."""
    plain = all(turn.keys() == {"role", "content"} for row in rows for turn in (*row["prompt"], *row["completion"]))
    columns = [
        *(_turns([row[name] for row in rows], plain) for name in _TURNS),
        *(pa.array([row[name] for row in rows], pa.string()) for name in _TEXTS),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_schema(plain))


def _of_json(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with turns as JSON."""
    if batch.schema.field("prompt").type == _JSON:
        return batch
    columns = [_turns(batch[name].to_pylist(), plain=False) for name in _TURNS]
    return pa.RecordBatch.from_arrays([*columns, *batch.columns[len(_TURNS) :]], schema=_schema(plain=False))


def _turns(chats: Sequence[Sequence[Mapping[str, Any]]], plain: bool) -> pa.Array:
    if plain:
        return pa.array(chats, _PLAIN)
    return pa.array([[json_text(turn) for turn in chat] for chat in chats], pa.list_(pa.string())).cast(_JSON)
