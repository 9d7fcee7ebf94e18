"""TRL: conversational prompt and completion in Parquet; only the completion is learnt."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from smart_assets.assets.parquet import write_table
from smart_assets.documents.exported_rows import ExportedRow, json_text
from smart_assets.documents.trainers.trainer import Trainer, yaml_text

_PLAIN = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
_JSON = pa.list_(pa.json_())


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
        every = list(rows)
        plain = all(
            turn.keys() == {"role", "content"} for row in every for turn in (*row["prompt"], *row["completion"])
        )
        columns: dict[str, pa.Array] = {}
        for name in ("prompt", "completion"):
            chats = [row[name] for row in every]
            if plain:
                columns[name] = pa.array(chats, _PLAIN)
            else:
                texts = [[json_text(turn) for turn in chat] for chat in chats]
                columns[name] = pa.array(texts, pa.list_(pa.string())).cast(_JSON)
        if any(row["tools"] for row in every):
            columns["tools"] = pa.array([row["tools"] for row in every], pa.string())
        for name in ("id", "task", "template", "source"):
            columns[name] = pa.array([row[name] for row in every], pa.string())
        write_table(pa.table(columns), path)
