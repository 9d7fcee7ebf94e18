"""What a mixture is selected from: the training rows, their greedy orderings, and the gains of the tasks."""

from dataclasses import dataclass

import pyarrow as pa

from smart_assets.core.errors import SelectionError


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


INSTANCE_COLUMNS = _schema(id=pa.string(), source=pa.string(), task=pa.string(), template=pa.string())
"""One row a training instance; ids are unique, and a task lies in one source."""

ORDERING_COLUMNS = _schema(
    task=pa.string(), template=pa.string(), objective=pa.string(), rank=pa.int64(), id=pa.string(), gain=pa.float64()
)
"""Greedy orderings of each (task, template) group: `objective` is the label, `rank` counts from 0."""

TASK_GAIN_COLUMNS = _schema(objective=pa.string(), rank=pa.int64(), task=pa.string(), gain=pa.float64())
"""Greedy orderings of the tasks: `objective` is the label, `rank` counts picks from 0."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Tables with the columns above; others are dropped, and compatible types are cast.

    Raises:
        SelectionError: A column is missing, of another type or holds nulls; there is no instance; an id comes twice; or
            a task lies in two sources.
    """

    instances: pa.Table
    orderings: pa.Table
    task_gains: pa.Table

    def __post_init__(self) -> None:
        for name, schema in (
            ("instances", INSTANCE_COLUMNS),
            ("orderings", ORDERING_COLUMNS),
            ("task_gains", TASK_GAIN_COLUMNS),
        ):
            object.__setattr__(self, name, _conform(name, getattr(self, name), schema))
        if not self.instances.num_rows:
            raise SelectionError(
                "the pool holds no training instances: materialize raw_tasks and see its rejected rows"
            )
        if len(self.instances["id"].unique()) != self.instances.num_rows:
            raise SelectionError("every instance of the pool must have an id of its own; some ids come twice")
        places = self.instances.group_by(["task", "source"]).aggregate([])["task"].to_pylist()
        if len(places) != len(set(places)):
            shared = max(places, key=places.count)
            raise SelectionError(
                f"a task must lie in one source; {shared!r} lies in several: set `task_prefix` for one"
            )

    def task_sizes(self) -> dict[str, int]:
        """Training instances of each task, in order of name."""
        sizes = self.instances.group_by("task").aggregate([([], "count_all")]).sort_by("task")
        return dict(zip(sizes["task"].to_pylist(), sizes["count_all"].to_pylist(), strict=True))

    def template_sizes(self) -> dict[str, dict[str, int]]:
        """Training instances of each task's templates, in order of name."""
        groups = self.instances.group_by(["task", "template"]).aggregate([([], "count_all")])
        sizes: dict[str, dict[str, int]] = {}
        for group in groups.sort_by([("task", "ascending"), ("template", "ascending")]).to_pylist():
            sizes.setdefault(group["task"], {})[group["template"]] = group["count_all"]
        return sizes


def _conform(name: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
    try:
        return table.select(schema.names).cast(schema)
    except (KeyError, ValueError) as error:  # a missing column; a null or a type that does not fit
        raise SelectionError(
            f"the pool's {name} need the columns {', '.join(schema.names)}, no nulls: {error}"
        ) from error
