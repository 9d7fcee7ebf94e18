"""`smart export`."""

from pathlib import Path

from smart_assets.cli.run import make_current
from smart_assets.cli.terminal import console, plain
from smart_assets.lineage.export import subset_rows, write_rows
from smart_assets.lineage.graph import find_partitions
from smart_assets.pipeline.step import grid_key
from smart_assets.settings import load_project


def export_subset(config: Path | None, mixture: tuple[int, str], out: Path, seed: int | None) -> None:
    """Bring one subset up to date and write it; nothing is trained."""
    project = load_project(config)
    budget, recipe = mixture
    subset = find_partitions(project, [f"selected_subset[{grid_key(budget, recipe)}]"])
    make_current(project, subset, counted=subset)
    rows = subset_rows(project, budget, recipe, seed)
    write_rows(rows, out)
    console.print(plain(f"{rows.num_rows} rows are in {out}"))
