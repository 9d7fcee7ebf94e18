"""What a mixture is selected from: the training rows, their greedy orderings, and the gains of the tasks."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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


REPEAT_COLUMNS = _schema(id=pa.string(), text=pa.int64())
"""Rows whose text stands under another task as well: equal texts have equal numbers."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Tables with the columns above; others are dropped, and compatible types are cast.

    Rows that are taken out (`without`) still count in the sizes by which tasks and templates share.

    Raises:
        SelectionError: A column is missing, of another type or holds nulls; there is no instance; an id comes twice; or
            a task lies in two sources.
    """

    instances: pa.Table
    orderings: pa.Table
    task_gains: pa.Table
    repeats: pa.Table = field(default_factory=REPEAT_COLUMNS.empty_table)
    taken_out: pa.Table = field(default_factory=INSTANCE_COLUMNS.empty_table)

    def __post_init__(self) -> None:
        for name, schema in (
            ("instances", INSTANCE_COLUMNS),
            ("orderings", ORDERING_COLUMNS),
            ("task_gains", TASK_GAIN_COLUMNS),
            ("repeats", REPEAT_COLUMNS),
            ("taken_out", INSTANCE_COLUMNS),
        ):
            object.__setattr__(self, name, _conform(name, getattr(self, name), schema))
        if not self.instances.num_rows and not self.taken_out.num_rows:
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
        return {task: sum(templates.values()) for task, templates in self.template_sizes().items()}

    def task_limits(self) -> dict[str, int]:
        """Return how many instances each task can give: its size, less what was taken out."""
        return {task: sum(templates.values()) for task, templates in self.template_limits().items()}

    def template_sizes(self) -> dict[str, dict[str, int]]:
        """Training instances of each task's templates, in order of name."""
        groups = _counts(self.instances) + _counts(self.taken_out)
        sizes: dict[str, dict[str, int]] = {}
        for (task, template), count in sorted(groups.items()):
            sizes.setdefault(task, {})[template] = count
        return sizes

    def template_limits(self) -> dict[str, dict[str, int]]:
        """Return how many instances each template can give, in the order of their sizes."""
        left = _counts(self.instances)
        return {
            task: {template: left[task, template] for template in templates}
            for task, templates in self.template_sizes().items()
        }

    def without(self, ids: pa.Array) -> "Pool":
        """Return the pool without some rows: their places in the orderings are closed up."""
        out = pc.is_in(self.instances["id"], value_set=ids)
        orderings = self.orderings.filter(pc.invert(pc.is_in(self.orderings["id"], value_set=ids)))
        return replace(
            self,
            instances=self.instances.filter(pc.invert(out)),
            orderings=closed_up(orderings),
            taken_out=pa.concat_tables([self.taken_out, self.instances.filter(out)]),
        )


def closed_up(orderings: pa.Table) -> pa.Table:
    """Return orderings whose ranks count from 0 again in every group."""
    group = ["objective", "task", "template"]
    placed = orderings.sort_by([(name, "ascending") for name in (*group, "rank")])
    if not placed.num_rows:
        return placed
    keys = [placed[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in group]
    begins = np.concatenate([[True], *[np.any([key[1:] != key[:-1] for key in keys], axis=0)]])
    places = np.arange(placed.num_rows)
    ranks = places - np.maximum.accumulate(np.where(begins, places, 0))
    return placed.set_column(placed.schema.get_field_index("rank"), "rank", pa.array(ranks, pa.int64()))


def _counts(instances: pa.Table) -> Counter[tuple[str, str]]:
    groups = instances.group_by(["task", "template"]).aggregate([([], "count_all")]).to_pylist()
    return Counter({(group["task"], group["template"]): group["count_all"] for group in groups})


def _conform(name: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
    try:
        return table.select(schema.names).cast(schema)
    except (KeyError, ValueError) as error:  # a missing column; a null or a type that does not fit
        raise SelectionError(
            f"the pool's {name} need the columns {', '.join(schema.names)}, no nulls: {error}"
        ) from error
