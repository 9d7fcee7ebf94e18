"""An asset that is in no catalog: `first_words`, the first words of each row of a source. One module, one entry."""

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.assets import raw_tasks
from smart_assets.assets.parquet import write_table
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.assets.work import Done, PlannedRows
from smart_assets.settings import Project
from smart_assets.store import Manifest

NAME = "first_words"
CODE_VERSION = "1"
WORDS = pa.schema([("id", pa.string()), ("task", pa.string()), pa.field("words", pa.string(), nullable=False)])


def desired(project: Project, partition: str | None) -> DesiredState:
    return DesiredState(
        AssetPartition(NAME, partition), (Input(AssetPartition(raw_tasks.NAME, partition)),), {}, CODE_VERSION
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    path = inputs.folder(raw_tasks.NAME, partition) / "instances.parquet"
    rows = pq.read_table(path, columns=["id", "task", "prompt"])
    words = pa.table([rows["id"], rows["task"], rows["prompt"].cast(pa.string())], WORDS)
    write_table(words, out.content / "words.parquet")
    return StepResult({"rows": rows.num_rows}, cost={"rows shortened": rows.num_rows})


def rows_to_shorten(plan: PlannedRows, key: AssetPartition) -> dict[str, int]:
    rows = plan.rows_now(key.partition)
    return {} if rows is None else {"rows to shorten": rows.num_rows}


def rows_shortened(manifest: Manifest) -> Done:
    return Done(manifest.made["rows shortened"])
