"""`smart export`."""

from pathlib import Path

from smart_assets.assets.step import grid_key
from smart_assets.cli.modes import refuse
from smart_assets.cli.run import make_current
from smart_assets.cli.terminal import console, literal
from smart_assets.documents.export import write_subset
from smart_assets.documents.subsets import current_subset
from smart_assets.forgetting.exports import remember_export
from smart_assets.planning.graph import find_partitions
from smart_assets.settings import load_project


def export_subset(config: Path | None, mixture: tuple[int, str], out: Path, seed: int | None) -> None:
    """Bring one subset up to date and write it; nothing is trained."""
    project = load_project(config)
    key = grid_key(*mixture)
    wanted = find_partitions(project, [f"selected_subset[{key}]"])
    if seed is not None and project.settings.recipes[mixture[1]].instance_objective is not None:
        refuse(f"--seed does nothing for {key}: its rows are the same for every seed; leave it out")
    make_current(project, wanted, counted=wanted)
    subset = current_subset(project, key, seed)
    write_subset(subset, out)
    remember_export(project.store, out, subset.manifest.content_version)
    console.print(literal(f"{subset.rows.num_rows} rows are in {out}"))
