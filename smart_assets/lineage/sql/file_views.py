"""The views over files of artifacts: where each one's rows lie, and the columns it has even while there are none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from smart_assets.assets import catalog
from smart_assets.assets.declaration import Asset, Table
from smart_assets.assets.reading.kept import kept_names
from smart_assets.assets.step import seed_of_folder, split_grid_key
from smart_assets.lineage.sql.quoting import file_name, kept_values, quoted
from smart_assets.store import Manifest, Store
from smart_assets.tasks.read_result import INSTANCES_FILE

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
    of_refused: bool = False  # also of what was refused since the last artifact was made
    has_kept: bool = False  # each kept column is one of its own

    def paths(self, store: Store, manifest: Manifest) -> Iterator[Path]:
        """Yield the files of one materialization.

        Raises:
            StoreError: they are not whole.
        """
        artifact = manifest.artifact if self.attachment is None else manifest.attachments[self.attachment]
        yield from sorted(store.folder(artifact).glob(self.file))

    def hidden(self, columns: Sequence[str]) -> list[str]:
        """Return those of its columns that leave the project only where texts are asked for: kept ones are texts."""
        return [name for name in columns if name in self.texts or name not in self.columns]

    def select(self, manifest: Manifest, path: Path, kept: Path | None = None) -> str:
        """Return the query that reads one file, with the columns that its place stands for.

        Args:
            manifest: Of the artifact.
            path: The file.
            kept: The file of what is kept of its rows.
        """
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
        rows = f"read_parquet({file_name(path)})"
        if kept is not None and (columns := kept_values(kept_names(manifest))):
            of_accepted = f"SELECT id, {', '.join(columns)} FROM read_parquet({file_name(kept)}) WHERE NOT duplicate"  # noqa: S608
            rows += f" LEFT JOIN ({of_accepted}) USING (id)"
        return f"SELECT {', '.join(added)}, * FROM {rows}"  # noqa: S608  (quoted)

    def nothing(self) -> str:
        """Return the query that gives no row, with all columns in order."""
        return f"SELECT {nothing(self.columns)} WHERE false"


def views() -> dict[str, View]:
    """Return a view over every table that the catalog gives a name in SQL."""
    return {
        table.view: View(
            asset.name,
            table.path,
            {**_place(asset, table), **_fields(table)},
            table.attachment,
            table.hidden,
            table.of_refused,
            has_kept=table.path == INSTANCES_FILE,
        )
        for asset in catalog.assets()
        for table in asset.tables
        if table.view is not None
    }


def _place(asset: Asset, table: Table) -> dict[str, pa.DataType]:
    """Return the columns that the partition and the seed's folder stand for."""
    match asset.partitioned_by:
        case "source":
            return {"source": pa.string()}
        case "budget and recipe":
            # Beside the budget of each task, that of the mixture is the total.
            budget = "budget_total" if "budget" in table.columns.names else "budget"
            seed = {"seed": pa.int64()} if table.path.startswith("*/") else {}
            return {budget: pa.int64(), "recipe": pa.string(), **seed}
        case "nothing":
            return {}


def _fields(table: Table) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in table.columns} | {"content_version": pa.string()}


def nothing(columns: dict[str, pa.DataType]) -> str:
    """Return the columns of a query without rows."""
    return ", ".join(f'NULL::{_KINDS[str(kind)]} AS "{name}"' for name, kind in columns.items())
