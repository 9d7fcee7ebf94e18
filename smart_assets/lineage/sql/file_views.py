"""The views over files of artifacts: where each one's rows lie, and the columns it has even while there are none."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from smart_assets.assets.evaluation_overlap import OVERLAPS, UNSEARCHED
from smart_assets.assets.instance_orderings import ORDERINGS
from smart_assets.assets.prompt_embeddings import ROW_COLUMNS
from smart_assets.assets.step import seed_of_folder, split_grid_key
from smart_assets.assets.task_scores import SCORES
from smart_assets.evaluation.record import METRICS_SCHEMA, ROWS_SCHEMA, SAMPLES_SCHEMA
from smart_assets.lineage.sql.quoting import file_name, quoted
from smart_assets.mixture.mixture import MIXTURE_COLUMNS
from smart_assets.store import Manifest, Store
from smart_assets.tasks.read_result import INSTANCES, ORIGINS, REJECTED, TASKS
from smart_assets.tasks.validation_split import SIDES

_STRINGS = pa.string()
_SOURCE = {"source": _STRINGS}
_MIXTURE = {"budget": pa.int64(), "recipe": _STRINGS}
_TOTAL = {"budget_total": pa.int64(), "recipe": _STRINGS}  # beside the budget of each task
_MODEL = {**_MIXTURE, "seed": pa.int64()}
_KINDS = {
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "float": "FLOAT",
    "bool": "BOOLEAN",
}


@dataclass(frozen=True, slots=True)
class View:
    """A view over a file of each current artifact of an asset."""

    asset: str
    file: str  # in the artifact; a pattern over the folders of seeds
    columns: dict[str, pa.DataType]  # in order; those that the partition and the seed's folder stand for come first
    attachment: str | None = None  # that holds the file
    texts: frozenset[str] = frozenset()  # columns that quote rows or what a model wrote

    def paths(self, store: Store, manifest: Manifest) -> Iterator[Path]:
        """The files of one materialization.

        Raises:
            StoreError: they are not whole.
        """
        artifact = manifest.artifact if self.attachment is None else manifest.attachments[self.attachment]
        yield from sorted(store.folder(artifact).glob(self.file))

    def select(self, manifest: Manifest, path: Path) -> str:
        """The query that reads one file, with the columns that its place stands for."""
        added = [f"{quoted(manifest.content_version)} AS content_version"]
        if manifest.partition is not None and "|" in manifest.partition:
            budget, recipe = split_grid_key(manifest.partition)
            name = "budget_total" if "budget_total" in self.columns else "budget"
            added += [f"{budget} AS {name}", f"{quoted(recipe)} AS recipe"]
        elif manifest.partition is not None:
            added += [f"{quoted(manifest.partition)} AS source"]
        seed = seed_of_folder(path.parent.name)
        if seed is not None:
            added += [f"{seed} AS seed"]
        return f"SELECT {', '.join(added)}, * FROM read_parquet({file_name(path)})"  # noqa: S608  (quoted)

    def nothing(self) -> str:
        """The query that gives no row, with all columns in order."""
        return f"SELECT {nothing(self.columns)} WHERE false"


def _columns(place: dict[str, pa.DataType], own: pa.Schema | dict[str, pa.DataType]) -> dict[str, pa.DataType]:
    fields = own if isinstance(own, dict) else {field.name: field.type for field in own}
    return {**place, **fields, "content_version": _STRINGS}


_NEAR_DUPLICATES = dict.fromkeys(("id", "other_id", "task", "other_task"), _STRINGS) | {"cosine": pa.float32()}
_TASK_BUDGETS = {
    "task": _STRINGS,
    "position": pa.int64(),
    "size": pa.int64(),
    "gain": pa.float64(),
    "weight": pa.float64(),
    "budget": pa.int64(),
    "seed": pa.int64(),
}
_LOSSES = {"step": pa.int64(), "loss": pa.float64(), "learning_rate": pa.float64(), "tokens": pa.int64()}
_ASKED = frozenset({"prediction"})
_ROW_TEXTS = frozenset({"prompt", "response", "messages"})

VIEWS: dict[str, View] = {
    "instances": View(
        "raw_tasks", "instances.parquet", _columns(_SOURCE, pa.schema([*INSTANCES, *SIDES])), texts=_ROW_TEXTS
    ),
    "origins": View("raw_tasks", "origins.parquet", _columns(_SOURCE, ORIGINS), "origins"),
    "rejected": View("raw_tasks", "rejected.parquet", _columns(_SOURCE, REJECTED), "origins", frozenset({"excerpt"})),
    "tasks": View("raw_tasks", "tasks.parquet", _columns(_SOURCE, TASKS), "origins"),
    "embeddings": View("prompt_embeddings", "rows.parquet", _columns(_SOURCE, dict.fromkeys(ROW_COLUMNS, _STRINGS))),
    "near_duplicates": View("similarity_index", "near_duplicates.parquet", _columns(_SOURCE, _NEAR_DUPLICATES)),
    "orderings": View("instance_orderings", "orderings.parquet", _columns(_SOURCE, ORDERINGS)),
    "evaluation_overlaps": View("evaluation_overlap", "overlaps.parquet", _columns({}, OVERLAPS)),
    "undecided_overlaps": View("evaluation_overlap", "undecided.parquet", _columns({}, OVERLAPS)),
    "unsearched_evaluation_rows": View("evaluation_overlap", "unsearched.parquet", _columns({}, UNSEARCHED)),
    "task_scores": View("task_scores", "scores.parquet", _columns({}, SCORES)),
    "subsets": View("selected_subset", "subset.parquet", _columns(_MIXTURE, MIXTURE_COLUMNS)),
    "task_budgets": View("selected_subset", "task_budgets.parquet", _columns(_TOTAL, _TASK_BUDGETS)),
    "losses": View("finetuned_checkpoint", "*/loss.parquet", _columns(_MODEL, _LOSSES)),
    "evals": View("eval_results", "*/metrics.parquet", _columns(_MODEL, METRICS_SCHEMA)),
    "eval_rows": View("eval_results", "*/rows.parquet", _columns(_MODEL, ROWS_SCHEMA), texts=_ASKED),
    "eval_samples": View(
        "eval_results",
        "*/samples.parquet",
        _columns(_MODEL, SAMPLES_SCHEMA),
        texts=frozenset({"target", "prediction", "metrics"}),
    ),
    "base_model_evals": View("base_model_results", "*/metrics.parquet", _columns({}, METRICS_SCHEMA)),
    "base_model_rows": View("base_model_results", "*/rows.parquet", _columns({}, ROWS_SCHEMA), texts=_ASKED),
}


def nothing(columns: dict[str, pa.DataType]) -> str:
    """Columns of a query without rows."""
    return ", ".join(f'NULL::{_KINDS[str(kind)]} AS "{name}"' for name, kind in columns.items())
