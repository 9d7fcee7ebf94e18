"""Open-instruct: `messages` as JSON lines, and the flags of `finetune.py`."""

from collections.abc import Mapping
from typing import Any

from smart_assets.documents.exported_rows import ExportedRow, json_text
from smart_assets.documents.trainers.trainer import Trainer


class OpenInstruct(Trainer):
    """https://github.com/allenai/open-instruct/blob/main/docs/algorithms/dataset_transformation.md."""

    name = "open-instruct"
    title = "open-instruct"
    checked = (
        "the functions of open_instruct/dataset_transformation.py at commit e6c3044 (2026-08-20); it is no package"
    )
    learns = "`last_turn_tulu_tokenize_and_truncate_v1`, in the place of the default, which learns all assistant turns"
    command = "accelerate launch CHECKOUT/open_instruct/finetune.py $(cat open_instruct.flags) ..."

    def row(self, row: ExportedRow) -> Mapping[str, Any]:
        """Return messages, and tools as JSON."""
        tools = {} if row.tools is None else {"tools": json_text(row.tools)}
        return {"messages": row.messages, **tools, **row.identity}

    def configuration(self, _name: str, /) -> Mapping[str, str]:
        """Return the flags."""
        flags = [
            f"--dataset_mixer_list {self.rows_file} 1.0",
            "--dataset_mixer_list_splits train",
            "--dataset_transform_fn last_turn_tulu_tokenize_and_truncate_v1 sft_tulu_filter_v1",
        ]
        return {"open_instruct.flags": "\n".join(flags) + "\n"}
