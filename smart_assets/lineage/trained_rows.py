"""Which rows a model was trained on: the one answer, for audits, documents, comparisons and SQL.

A fine-tune was given the rows of the subset that its checkpoint's manifest names: its seed's own row set where rows are
random, else all of them. It was trained on these, less the rows that its record names as dropped.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.assets import selected_subset
from smart_assets.assets.finetuned_checkpoint import NAME, rows_of_seed
from smart_assets.assets.model_records import CheckpointSummary, TrainingRecord
from smart_assets.assets.step import AssetPartition
from smart_assets.lineage.history import History, Materialization
from smart_assets.store import Manifest

SUBSET = selected_subset.NAME
_MODELS = pa.schema(
    [
        ("model", pa.int64()),  # its place among all
        ("content_version", pa.string()),
        ("seed", pa.int64()),
        ("subset_version", pa.string()),
    ]
)
_DROPPED = pa.schema(
    [("content_version", pa.string()), ("seed", pa.int64()), ("id", pa.string()), ("reason", pa.string())]
)


@dataclass(frozen=True, slots=True)
class Training:
    """One seed of a checkpoint, and what its record says."""

    item: Materialization
    seed: int
    record: TrainingRecord

    @property
    def content_version(self) -> str:
        """The version of the checkpoint."""
        return self.item.manifest.content_version

    @property
    def subset(self) -> str | None:
        """The version of the subset; None where the manifest names none."""
        return subset_version(self.item.manifest)


def subset_version(checkpoint: Manifest) -> str | None:
    """Return the version of the subset that a checkpoint was trained on; None where its manifest names none."""
    return checkpoint.inputs.get(str(AssetPartition(SUBSET, checkpoint.partition)))


def trainings(history: History) -> Iterator[Training]:
    """Yield all checkpoints of a history, seed by seed."""
    for item in history.of(NAME):
        for seed, record in CheckpointSummary.read(item.manifest).seeds.items():
            yield Training(item, seed, record)


def rows_given(subset: pa.Table, seed: int | None) -> pa.Table:
    """Return the rows of a subset that a seed's fine-tune is given; for no seed, the whole subset."""
    return subset if seed is None else rows_of_seed(subset, seed)


def learnt(rows: pa.Table, record: TrainingRecord) -> pa.Array:
    """Return of each row that a fine-tune was given whether it was trained on it."""
    return pc.invert(pc.is_in(rows["id"], pa.array(sorted(row.id for row in record.dropped), pa.string())))


def joined(models: str, rows: str, dropped: str) -> str:
    """Return the same in SQL, what stands after FROM: each model `m`, a row `r` that it was given, and its drop `d`.

    Args:
        models: A table of `content_version`, `seed` and `subset_version`.
        rows: A table of subsets' rows, with `content_version`, `seed` and `id`.
        dropped: A table of `content_version`, `seed`, `id` and `reason`; `d.id` is NULL where the row was trained on.
    """
    return (
        f"{models} m JOIN {rows} r ON r.content_version = m.subset_version AND (r.seed IS NULL OR r.seed = m.seed) "
        f"LEFT JOIN {dropped} d ON d.content_version = m.content_version AND d.seed = m.seed AND d.id = r.id"
    )


def models_table(models: Iterable[Training]) -> pa.Table:
    """Return models as a table for `joined`."""
    return pa.Table.from_pylist(
        [
            {
                "model": place,
                "content_version": training.content_version,
                "seed": training.seed,
                "subset_version": training.subset,
            }
            for place, training in enumerate(models)
        ],
        _MODELS,
    )


def dropped_table(models: Iterable[Training]) -> pa.Table:
    """Return the rows that models were given and not trained on, as a table for `joined`: each version's once."""
    rows_of_model: dict[tuple[str, int], list[dict[str, Any]]] = {
        (training.content_version, training.seed): [
            {"content_version": training.content_version, "seed": training.seed, "id": row.id, "reason": row.reason}
            for row in training.record.dropped
        ]
        for training in models
    }
    return pa.Table.from_pylist([row for rows in rows_of_model.values() for row in rows], _DROPPED)
