"""Reading rows back out of `raw_tasks`: their texts, by split or by id."""

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets import raw_tasks
from smart_assets.assets.step import AssetPartition, Input, Inputs
from smart_assets.core.errors import StoreError
from smart_assets.settings import Project
from smart_assets.tasks.read_result import INSTANCES_FILE

TEXT_COLUMNS = ["id", "task", "template", "prompt", "response", "messages"]


def raw_task_inputs(project: Project, facet: str | None = None, counts: bool = True) -> tuple[Input, ...]:
    """Return the raw tasks of all sources as inputs."""
    sources = project.settings.sources
    return tuple(Input(AssetPartition(raw_tasks.NAME, source), facet, counts=counts) for source in sources)


def read_split(project: Project, inputs: Inputs, side: str) -> pa.Table:
    """Return the rows of all sources on one side of the split ("train" or "validation"), with their source."""
    return _read(project.settings.sources, inputs, lambda rows: pc.equal(rows["split"], side))


def read_training_rows(project: Project, inputs: Inputs, ids: pa.ChunkedArray) -> pa.Table:
    """Return the training rows of all sources of `smart.yaml` whose ids are given, in any order, with their source."""
    return read_rows(inputs, project.settings.sources, ids)


def read_rows(inputs: Inputs, sources: Iterable[str], ids: pa.ChunkedArray) -> pa.Table:
    """Return those training rows of some sources whose ids are given, in any order, with their source.

    Texts are read a row group at a time, so that few rows out of many need little memory.
    """
    chosen = pc.unique(ids)
    return _read(
        sources, inputs, lambda rows: pc.and_(pc.equal(rows["split"], "train"), pc.is_in(rows["id"], value_set=chosen))
    )


def _read(sources: Iterable[str], inputs: Inputs, chosen: Callable[[pa.Table], pa.ChunkedArray]) -> pa.Table:
    """TEXT_COLUMNS, prompt hash and source of the rows chosen by `id` and `split`."""
    columns = [*TEXT_COLUMNS, "prompt_hash"]
    tables: list[pa.Table] = []
    for source in sources:
        with pq.ParquetFile(inputs.folder(raw_tasks.NAME, source) / INSTANCES_FILE) as file:
            tables.append(_with_source(file.schema_arrow.empty_table().select(columns), source))
            for group in range(file.num_row_groups):
                choice = chosen(file.read_row_group(group, columns=["id", "split"]))
                if pc.any(choice).as_py():
                    rows = file.read_row_group(group, columns=columns).filter(choice)
                    tables.append(_with_source(rows.select(columns), source))
    return pa.concat_tables(tables)


def _with_source(rows: pa.Table, source: str) -> pa.Table:
    return rows.append_column("source", pa.array([source] * rows.num_rows, pa.string()))


def rows_in_order(rows: pa.Table, ids: Sequence[str]) -> pa.Table:
    """Return the rows of the given ids, in their order.

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
