"""Which rows of a subset the base model's chat template will refuse, said when the subset is made."""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import raw_tasks
from smart_assets.assets.step import Inputs
from smart_assets.core.errors import TrainingError
from smart_assets.core.progress import Log
from smart_assets.settings import Project
from smart_assets.tasks.read_result import INSTANCES_FILE
from smart_assets.training.turn_check import ChatForm, form_of, refused_chats


def count_refused_chats(project: Project, inputs: Inputs, ids: pa.ChunkedArray, log: Log) -> dict[str, int] | None:
    """Log how many of the rows the template refuses, and why; return the counts, which are no content of the subset."""
    settings = project.settings.finetune
    forms = Counter(_forms(project, inputs, ids))
    try:
        refused = refused_chats(forms, settings, project.store.cache_folder("models"))
    except TrainingError as error:
        log(f"whether the chat template refuses rows of the subset shows when it is trained on: {error}")
        return None
    for reason, count in refused.items():
        log(
            f"{count:,} rows of the subset will be left out of the fine-tune of {settings.base_model}: {reason} "
            "(finetune.system_turns: fold keeps rows that are refused for a system turn, prompt_format: plain all)"
        )
    return dict(refused) or None


def _forms(project: Project, inputs: Inputs, ids: pa.ChunkedArray) -> Iterator[ChatForm]:
    """Yield the form of each chat among the rows that its prompt does not say."""
    chosen = pc.unique(ids)
    for source in project.settings.sources:
        with pq.ParquetFile(inputs.folder(raw_tasks.NAME, source) / INSTANCES_FILE) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=["id", "messages"])
                chats = rows.filter(pc.and_(pc.is_valid(rows["messages"]), pc.is_in(rows["id"], value_set=chosen)))
                for messages in chats["messages"].to_pylist():
                    yield form_of(messages)
