"""Reading rows back out of `raw_tasks`: their texts, by split or by id."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.errors import StoreError
from smart_assets.pipeline.step import AssetPartition, Input, Inputs
from smart_assets.settings import Project

TEXT_COLUMNS = ["id", "task", "template", "prompt", "response", "messages"]


def raw_task_inputs(project: Project, facet: str | None = None, counts: bool = True) -> tuple[Input, ...]:
    """The raw tasks of all sources as inputs."""
    sources = project.settings.sources
    return tuple(Input(AssetPartition("raw_tasks", source), facet, counts=counts) for source in sources)


def read_split(project: Project, inputs: Inputs, side: str) -> pa.Table:
    """The rows of all sources that stand on one side of the split ("train" or "validation"), with their source."""
    tables: list[pa.Table] = []
    for source in project.settings.sources:
        path = inputs.folder("raw_tasks", source) / "instances.parquet"
        table = pq.read_table(path, columns=[*TEXT_COLUMNS, "prompt_hash"], filters=pc.field("split") == side)
        tables.append(table.append_column("source", pa.array([source] * table.num_rows, pa.string())))
    return pa.concat_tables(tables)


def rows_in_order(rows: pa.Table, ids: Sequence[str]) -> pa.Table:
    """The rows of the given ids, in their order.

    Raises:
        StoreError: an id is not among the rows.
    """
    position = {row_id: index for index, row_id in enumerate(rows["id"].to_pylist())}
    missing = [row_id for row_id in ids if row_id not in position]
    if missing:
        raise StoreError(
            f"{len(missing)} rows of the subset are not in raw_tasks any more (the first is {missing[0]}): "
            "materialize selected_subset again"
        )
    return rows.take(pa.array([position[row_id] for row_id in ids], pa.int64()))
