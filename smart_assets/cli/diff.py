"""`smart diff`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from smart_assets.cli.terminal import console, literal, print_json, print_table, shortened
from smart_assets.lineage.diff.checkpoints import CheckpointDiff, ScoreDiff, diff_checkpoints
from smart_assets.lineage.diff.made import MakingDiff, Side, ValueDifference
from smart_assets.lineage.diff.references import KINDS, SUBSET, find_pair
from smart_assets.lineage.diff.subsets import RowSetDiff, SubsetDiff, diff_subsets
from smart_assets.settings import load_project


def show_diff(config: Path | None, names: tuple[str, str], checkpoints: bool, with_rows: bool, as_json: bool) -> None:
    """Compare two subsets or two checkpoints and print what differs.

    Args:
        config: the smart.yaml, or None for the one found.
        names: as `parse_reference` reads them.
        checkpoints: names mean checkpoints.
        with_rows: also list the ids of rows in and out.
        as_json: print everything as JSON.
    """
    store = load_project(config).store
    a, b = find_pair(store, *names, checkpoints)
    diff = diff_subsets(store, a, b) if a.asset == SUBSET else diff_checkpoints(store, a, b)
    if as_json:
        print_json(_as_json(diff))
    elif isinstance(diff, SubsetDiff):
        _show_subsets(diff, with_rows)
    else:
        _show_checkpoints(diff, with_rows)


def _as_json(diff: SubsetDiff | CheckpointDiff) -> dict[str, object]:
    if isinstance(diff, CheckpointDiff):
        return {**asdict(diff), "subset": diff.subset and _as_json(diff.subset), "empty": diff.empty}
    sets = [
        {**asdict(row_set), "rows_a": row_set.rows_a, "rows_b": row_set.rows_b, "common": row_set.common}
        for row_set in diff.row_sets or ()
    ]
    return {**asdict(diff), "row_sets": None if diff.row_sets is None else sets, "empty": diff.empty}


def _show_sides(a: Side, b: Side) -> None:
    for name, side in (("A", a), ("B", b)):
        collected = "; its files are not in the store any more (collected), its manifest is" if side.collected else ""
        made = f"{side.partition} {shortened(side.version)}, made {side.made_at}{collected}"
        console.print(literal(f"{name}: {KINDS[side.asset]} {made}"))


def _show_made(made: MakingDiff) -> None:
    inputs = [ValueDifference(change.what, _short(change.a), _short(change.b)) for change in made.inputs]
    for title, changes in (("parameter", made.parameters), ("made from", inputs), ("code", made.code)):
        _show_changes(title, changes)


def _short(version: str | None) -> str | None:
    return version and shortened(version)


def _show_changes(title: str, changes: Sequence[ValueDifference]) -> None:
    if changes:
        print_table([title, "A", "B"], [[change.what, _value(change.a), _value(change.b)] for change in changes])


def _value(value: object) -> object:
    return value if isinstance(value, int | float | str | None) else json.dumps(value, ensure_ascii=False)


def _show_subsets(diff: SubsetDiff, with_rows: bool) -> None:
    _show_sides(diff.a, diff.b)
    _show_made(diff.made)
    if diff.row_sets is None:
        same = "the content is the same" if diff.a.version == diff.b.version else "the rows cannot be compared"
        console.print(literal(f"{same}: files were collected, so only what the manifests say is compared"))
        return
    for row_set in diff.row_sets:
        _show_rows(row_set, with_rows)
    if diff.empty:
        console.print(literal("nothing differs"))


def _show_rows(rows: RowSetDiff, with_rows: bool) -> None:
    seed = "" if rows.seed is None else f"seed {rows.seed}: "
    shares = ", ".join(
        f"{rows.common / count:.1%} of {name}" for name, count in (("A", rows.rows_a), ("B", rows.rows_b)) if count
    )
    console.print(
        literal(
            f"{seed}{rows.rows_a:,} rows in A, {rows.rows_b:,} in B; {rows.common:,} in common ({shares or 'none'}), "
            f"{rows.reranked:,} of them in another place; {len(rows.rows_out):,} out, {len(rows.rows_in):,} in"
        )
    )
    if not rows.empty:
        columns = ["task", "budget in A", "budget in B", "rows in A", "rows in B", "out", "in", "common"]
        print_table(
            columns,
            [
                [task.task, task.budget_a, task.budget_b, task.rows_a, task.rows_b, task.out, task.into, task.common]
                for task in rows.tasks
            ],
        )
    listed = [(word, row) for word, side in (("out", rows.rows_out), ("in", rows.rows_in)) for row in side]
    if with_rows and listed:
        columns = ["", "id", "task", "template", "rank"]
        print_table(columns, [[word, row.id, row.task, row.template, row.rank] for word, row in listed])


def _show_checkpoints(diff: CheckpointDiff, with_rows: bool) -> None:
    _show_sides(diff.a, diff.b)
    if diff.base_models is not None:
        _show_changes("", [diff.base_models])
    _show_made(diff.made)
    for seed in diff.seeds:
        same = {True: "the same weights", False: "other weights", None: "in one of them only"}[seed.same_weights]
        console.print(literal(f"seed {seed.seed}: {same}"))
        _show_changes("", seed.figures)
    if diff.scores:
        print_table(["benchmark", "tasks", "metric", "A", "B", "B - A", "better is"], map(_score_row, diff.scores))
    for note in diff.notes:
        console.print(literal(note))
    if diff.empty:
        console.print(literal("nothing differs"))
    elif diff.subset is not None:
        console.print(literal("the subsets that they were trained on:"))
        _show_subsets(diff.subset, with_rows)


def _score_row(score: ScoreDiff) -> list[object]:
    apart = None if score.a is None or score.b is None else score.b - score.a
    return [score.benchmark, score.tasks, score.metric, score.a, score.b, apart, score.direction.value]
