"""`smart gc` and `smart verify`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer

from smart_assets.cli.terminal import console, literal, print_table, spinner
from smart_assets.documents.signing import verify_signatures
from smart_assets.promotion.log import pinned
from smart_assets.settings import load_project
from smart_assets.upkeep.gc import Garbage, find_garbage, remove_garbage
from smart_assets.upkeep.verify import verify


def collect_garbage(config: Path | None, dry_run: bool) -> None:
    """Remove what the section `retention` lets go, or say what would be removed."""
    project = load_project(config)
    retention = project.settings.retention
    garbage = find_garbage(project.store, retention, pinned(project))
    removed = garbage if dry_run else remove_garbage(garbage)
    _show_garbage(removed)
    freed = f"{'would free' if dry_run else 'freed'} {size(sum(item.size for item in removed))}"
    kept = f"the newest {retention.newest} of each partition, and what was replaced within {retention.days} days"
    console.print(literal(f"{freed}; kept: {kept}"))
    if len(removed) < len(garbage):
        console.print(literal(f"{len(garbage) - len(removed)} were taken into use meanwhile and stay"))


def _show_garbage(garbage: Sequence[Garbage]) -> None:
    counts = Counter((item.what, item.why) for item in garbage)
    sizes: Counter[tuple[str, str]] = Counter()
    for item in garbage:
        sizes[item.what, item.why] += item.size
    if counts:
        rows = [[what, count, size(sizes[what, why]), why] for (what, why), count in sorted(counts.items())]
        print_table(["asset", "artifacts", "size", "why"], rows)


def verify_store(config: Path | None, repair: bool) -> None:
    """Read all that the store holds and name what is damaged; exit with 1 where something is."""
    project = load_project(config)
    with spinner("reading the store") as log:
        result = verify(project.store, log, repair)
    if result.damages:
        print_table(
            ["file", "damage"],
            [
                [damage.path.relative_to(project.store.root), f"{damage.what} {damage.where}".rstrip()]
                for damage in result.damages
            ],
        )
    for line in result.repairs:
        console.print(literal(line))
    collected = f"; {result.collected:,} of the past were collected" if result.collected else ""
    redacted = f"; {result.redacted:,} redacted, since rows in them are forgotten" if result.redacted else ""
    console.print(
        literal(
            f"{len(result.damages) or 'nothing'} damaged: {result.manifests:,} manifests and {result.files:,} files of "
            f"{result.artifacts:,} artifacts read, {size(result.size)}{collected}{redacted}"
        )
    )
    if result.damages and not repair:
        console.print(literal("`smart verify --repair` moves damaged files away, and `smart run` makes them again"))
        raise typer.Exit(1)


def verify_documents(config: Path | None, folder: Path, public_key: Path) -> None:
    """Verify the signatures of a folder of documents and of the weights they are about; exit with 1 on a difference."""
    problems = verify_signatures(load_project(config), folder, public_key)
    for problem in problems:
        console.print(literal(problem))
    if problems:
        raise typer.Exit(1)
    console.print(literal(f"{folder} and the weights it is about are as they were signed"))


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
