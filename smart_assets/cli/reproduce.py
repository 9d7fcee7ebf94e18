"""`smart reproduce`."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from smart_assets.assets.step import RunContext
from smart_assets.cli.terminal import console, first, literal, print_json, print_table, spinner, to_stderr
from smart_assets.core.errors import SmartError
from smart_assets.core.progress import Log
from smart_assets.forgetting.exports import remember_export
from smart_assets.lineage.diff.references import find_subset
from smart_assets.reproduce.derive import empty_folder
from smart_assets.reproduce.launch import launcher
from smart_assets.reproduce.reproduction import Extent, Reproduction, reproduce
from smart_assets.reproduce.steps import StepComparison
from smart_assets.reproduce.subset import SubsetComparison
from smart_assets.reproduce.tables import TableDifference
from smart_assets.reproduce.weights import WeightComparison
from smart_assets.settings import Project, load_project

_MOST_TASKS = 20
_MOST_TENSORS = 5


def reproduce_subset(
    config: Path | None, mixture: tuple[int, str, str | None], extent: Extent, keep: Path | None, as_json: bool
) -> None:
    """Derive a subset again in an empty store and say whether it is the stored one; exit with 1 where it is not.

    Args:
        config: the smart.yaml, or None for the one found.
        mixture: budget, recipe, and a version or None for the newest.
        extent: how much is done again.
        keep: the folder of the store that stays; None for a temporary one.
        as_json: print everything as JSON, and progress on stderr.
    """
    project = load_project(config)
    subset = find_subset(project.store, *mixture)
    with empty_folder(keep) as folder, _progress(as_json) as log:
        run = RunContext(log, launcher(log), _device(project))
        reproduction = reproduce(project, subset, folder, extent, run)
    if keep is not None:
        remember_export(project.store, keep, None)
    if as_json:
        print_json(_as_json(reproduction, keep))
    else:
        _show(reproduction)
        if keep is not None:
            console.print(literal(f"the store of the reproduction is {keep}; its rows and vectors are links"))
    if not reproduction.holds:
        raise typer.Exit(1)


@contextmanager
def _progress(beside: bool) -> Generator[Log]:
    if beside:
        yield to_stderr
        return
    with spinner("reproducing") as log:
        yield log


def _device(project: Project) -> str:
    if project.settings.device == "cpu":
        return "cpu"
    import dagster as dg

    from smart_assets.defs.resources import ComputeDevice

    try:
        return ComputeDevice(setting=project.settings.device).resolve()
    except dg.Failure as error:
        raise SmartError(str(error.description)) from error


def _as_json(reproduction: Reproduction, keep: Path | None) -> dict[str, Any]:
    subset = {
        **asdict(reproduction.subset),
        "identical": reproduction.subset.identical,
        "same_rows": reproduction.subset.same_rows,
    }
    weights = [
        {**asdict(comparison), "identical": comparison.identical, "largest": comparison.largest}
        for comparison in reproduction.weights
    ]
    kept = None if keep is None else str(keep)
    return {**asdict(reproduction), "subset": subset, "weights": weights, "holds": reproduction.holds, "kept": kept}


def _show(reproduction: Reproduction) -> None:
    for line in (*reproduction.notes, *_agreement_lines(reproduction)):
        console.print(literal(line))
    _show_subset(reproduction)
    for step in reproduction.steps:
        _show_step(step)
    for comparison in reproduction.weights:
        _show_weights(comparison)


def _agreement_lines(reproduction: Reproduction) -> Iterator[str]:
    for rows in reproduction.rows:
        if rows.identical:
            yield f"source `{rows.source}`: its {rows.read:,} rows are the stored ones"
            continue
        yield (
            f"source `{rows.source}`: {rows.read:,} rows read, {rows.stored:,} stored; {rows.only_read:,} only read, "
            f"{rows.only_stored:,} only stored, {rows.other_side:,} on the other side of the split"
        )
        yield from (f"  {line}" for line in rows.words)
    for vectors in reproduction.vectors:
        yield (
            f"source `{vectors.source}`: {vectors.differing:,} of {vectors.prompts:,} prompts have other vectors; "
            f"1 - cosine is {vectors.max_distance:.3g} at most, {vectors.mean_distance:.3g} in the mean"
        )


def _show_subset(reproduction: Reproduction) -> None:
    subset, partition = reproduction.subset, reproduction.partition
    for file in subset.damaged:
        console.print(literal(f"the stored {file} is not what its manifest says: `smart verify`", "yellow"))
    if subset.identical:
        console.print(literal(f"identical: {partition} {subset.stored[:12]}"))
        return
    if reproduction.subset_holds:
        apart = f"gains and weights differ by {subset.figures_apart:.2g} at most"
        console.print(literal(f"the same rows in the same places: {partition} {subset.stored[:12]}; {apart}"))
        return
    console.print(literal(f"different: {partition} is {subset.stored[:12]}, reproduced it is {subset.reproduced[:12]}"))
    if subset.rows is None:
        console.print(literal("the stored files are not in the store any more, so where it differs cannot be told"))
        return
    stored, reproduced = subset.rows
    console.print(
        literal(
            f"{stored:,} rows stored, {reproduced:,} reproduced; {subset.only_stored:,} only stored, "
            f"{subset.only_reproduced:,} only reproduced"
        )
    )
    if subset.first is not None:
        _show_first(subset.first)
    _show_budgets(subset)


def _show_first(first: TableDifference) -> None:
    """Print the two rows at the first place that differs, one under the other."""
    what = f"other {', '.join(first.columns)}" if first.columns else "one of them ends before it"
    console.print(literal(f"the first difference is at position {first.position:,} ({what}):"))
    names = [*(first.stored or first.reproduced or {})]
    sides = (("stored", first.stored or {}), ("reproduced", first.reproduced or {}))
    print_table(["", *names], [[side, *map(row.get, names)] for side, row in sides])


def _show_step(step: StepComparison) -> None:
    if step.first is None:
        console.print(literal(f"{step.key} under {step.objective}: the same"))
    else:
        console.print(literal(f"{step.key} under {step.objective}: different"))
        _show_first(step.first)


def _show_budgets(subset: SubsetComparison) -> None:
    if not subset.budgets:
        console.print(literal("the task budgets are the same"))
        return
    rows = [
        [
            task.task,
            "all" if task.seed is None else task.seed,
            *((side or {}).get("budget") for side in (task.stored, task.reproduced)),
            ", ".join(task.columns),
        ]
        for task in first(subset.budgets, _MOST_TASKS)
    ]
    print_table(["task", "seed", "budget stored", "reproduced", "differs in"], rows)
    if len(subset.budgets) > len(rows):
        console.print(literal(f"and {len(subset.budgets) - _MOST_TASKS:,} more lines (all of them with --json)"))


def _show_weights(comparison: WeightComparison) -> None:
    if comparison.identical:
        console.print(literal(f"seed {comparison.seed}: weights identical ({comparison.tensors:,} tensors)"))
        return
    largest = "not comparable" if comparison.largest is None else f"{comparison.largest:.3g}"
    console.print(
        literal(
            f"seed {comparison.seed}: weights differ in "
            f"{len(comparison.differing):,} of {comparison.tensors:,} tensors; "
            f"the largest absolute difference is {largest}"
        )
    )
    print_table(
        ["tensor", "largest difference"],
        [[tensor.name, tensor.largest] for tensor in first(comparison.differing, _MOST_TENSORS)],
    )
