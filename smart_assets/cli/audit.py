"""`smart audit row`, `text`, `task`, `source` and `model`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smart_assets.assets import finetuned_checkpoint, selected_subset
from smart_assets.cli.terminal import console, first, literal, print_json, print_table, shortened
from smart_assets.core.files import write_beside
from smart_assets.core.formatting import count
from smart_assets.core.safe_text import in_line
from smart_assets.forgetting.exports import remember_export
from smart_assets.lineage.audit.groups import Share, SourceVersion, audit_source, audit_task
from smart_assets.lineage.audit.row_history import RowHistory
from smart_assets.lineage.audit.row_uses import Consumer, RowUse, UnknownConsumer
from smart_assets.lineage.audit.rows import MOST_ROWS, RowsFound, RowTrace, audit_row, audit_text
from smart_assets.lineage.model_audit.gather import ModelAudit, audit_model
from smart_assets.settings import Project, load_project

_HOLDER = ["holder", "seed", "made (UTC)", "run", "state"]
_KINDS = {selected_subset.NAME: "subset", finetuned_checkpoint.NAME: "checkpoint"}
_SIDES = {"train": "training", "validation": "held out"}


def show_row(config: Path | None, name: str, similar: float | None, as_json: bool) -> None:
    """Print what is known of a row, what holds it, and rows like it."""
    project = load_project(config)
    audit = audit_row(project, name, _threshold(project, similar))
    if as_json:
        print_json(asdict(audit, dict_factory=_without_empty_kept))
        return
    _say(f"row {audit.row.id}")
    _show_facts(audit.row)
    _show_held(audit.row.held_by, "subsets and checkpoints hold it")
    for drop in audit.row.dropped_by:
        _say(f"not trained on by {_name(drop.holder)}, seed {drop.holder.seed}: {drop.reason}")
    if audit.compared is None:
        _say("it has no vector any more, so rows like it cannot be told")
    else:
        _show_rows(audit.alike, f"other rows have a prompt like it (cosine {audit.threshold:g} or more)")
    _show_unknown(audit.unknown, audit.unreadable)


def show_text(config: Path | None, text: str, similar: float | None, as_json: bool) -> None:
    """Print the rows with a text, those like it, and what holds them."""
    project = load_project(config)
    audit = audit_text(project, text, _threshold(project, similar))
    if as_json:
        print_json(asdict(audit, dict_factory=_without_empty_kept))
        return
    _show_rows(audit.same_prompt, "rows have this prompt")
    _show_rows(audit.same_response, "rows have this response")
    alike = f"of {audit.compared:,} rows have a prompt like it (cosine {audit.threshold:g} or more)"
    _show_rows(audit.alike, f"others {alike}")
    kinds = (audit.same_prompt, audit.same_response, audit.alike)
    rows = {row.id: row for kind in kinds for row in kind.rows}
    _show_held(
        [held for row in rows.values() for held in row.held_by], "times a subset or checkpoint holds one of them"
    )
    _show_unknown(audit.unknown, audit.unreadable)


def show_task(config: Path | None, task: str, as_json: bool) -> None:
    """Print the rows of a task, and what holds them."""
    audit = audit_task(load_project(config), task)
    if as_json:
        print_json(asdict(audit))
        return
    unseen = ": unseen, so no row of it is selected" if audit.unseen else ""
    _say(f"task {audit.task}{unseen}")
    print_table(
        ["source", "training", "held out", "rejected", "from (UTC)", "to"],
        [
            [
                row.source,
                row.training,
                row.held_out,
                row.rejected,
                row.first_made_at,
                "now" if row.current else row.last_made_at,
            ]
            for row in audit.rows
        ],
    )
    _show_shares(audit.held_by)
    _show_unknown(audit.unknown, audit.unreadable)


def show_source(config: Path | None, source: str, as_json: bool) -> None:
    """Print the materializations of a source, and what holds rows of it."""
    audit = audit_source(load_project(config), source)
    if as_json:
        print_json(asdict(audit))
        return
    given = audit.settings
    licence = f", licence {given['license'] or 'not given'}" if given else ""
    _say(
        f"source {audit.source}: {given['kind']} {given['path']}{licence}"
        if given
        else f"source {audit.source}: of the past"
    )
    columns = ["version", "rows", "training", "held out", "rejected", "made (UTC)", "run", "state"]
    rows = [
        [
            shortened(row.content_version),
            row.rows,
            row.training,
            row.held_out,
            row.rejected,
            row.made_at,
            shortened(row.run_id, 8),
            _state(row.current, given is not None, row.artifact) if row.rows else "refused",
        ]
        for row in audit.rows
    ]
    print_table(columns, rows)
    if audit.rows:
        _show_not_read(audit.rows[0])
    _show_shares(audit.held_by)
    _show_unknown(audit.unknown, audit.unreadable)


def _show_not_read(newest: SourceVersion) -> None:
    if newest.not_read is None:
        _say("what of its rows is not read was not recorded: an earlier version read them")
        return
    for name, rows in newest.not_read.items():
        _say(f"not read: {name} ({count(rows, 'row')} {'has' if rows == 1 else 'have'} a value)")


def _threshold(project: Project, similar: float | None) -> float:
    return project.settings.index.near_duplicate if similar is None else similar


def _say(line: str) -> None:
    console.print(literal(in_line(line)))


def _show_facts(row: RowTrace) -> None:
    for history in row.standings:
        when = "now" if history.current else f"{history.first_made_at} to {history.last_made_at}"
        _say(f"  {when}: {_history_words(history)}")
    if not row.standings:
        _say("  it is in no source any more, and what is left of their past does not have it")
    elif not row.standings[0].current:
        _say("  it is in no source any more")
    if row.forgotten:
        _say(
            f"  forgotten {in_line(row.forgotten)}; models that were trained on it stay so until they are trained again"
        )
    if row.unseen:
        _say("  its task is unseen: no row of it is selected")
    for twin in row.twins:
        when = "" if twin.current else " (in the past)"
        place = f"{twin.origin.in_words}, source {twin.source}{when}"
        _say(f"  left out as an exact duplicate of it: {place}{_kept_words(twin.kept)}")


def _history_words(history: RowHistory) -> str:
    template = f", template {history.template}" if history.template else ""
    side = _SIDES.get(history.split, history.split)
    return f"{side}; source {history.source}, task {history.task}{template}; {history.origin.in_words}" + _kept_words(
        history.kept
    )


def _without_empty_kept(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of an object for JSON: a place of which nothing is kept does not say so."""
    return {name: value for name, value in fields if name != "kept" or value}


def _kept_words(kept: Mapping[str, Any]) -> str:
    words = (f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in kept.items())
    return f"; {', '.join(words)}" if kept else ""


def _show_held(held: Sequence[RowUse], what: str) -> None:
    _say(f"{len(held) or 'no'} {what}")
    several = len({use.id for use in held}) > 1
    rows = [[*([shortened(use.id)] if several else []), use.rank, use.gain, *holder_cells(use.holder)] for use in held]
    if rows:
        print_table([*(["row"] if several else []), "rank", "gain", *_HOLDER], rows)


def _show_rows(rows_found: RowsFound, what: str) -> None:
    _say(f"{f'{rows_found.total:,}' if rows_found.total else 'no'} {what}")
    if rows_found.total > len(rows_found.rows):
        _say(f"  the first {MOST_ROWS} of them are followed")
    rows = [
        [
            shortened(row.id),
            row.cosine,
            *_newest_cells(row.standings),
            *(sum(held.holder.asset == asset for held in row.held_by) for asset in _KINDS),
        ]
        for row in rows_found.rows
    ]
    if rows:
        print_table(["row", "cosine", "source", "task", "side", "subsets", "checkpoints"], rows)


def _newest_cells(standings: Sequence[RowHistory]) -> list[object]:
    if not standings:
        return ["", "", "gone"]
    newest = standings[0]
    side = _SIDES.get(newest.split, newest.split)
    return [newest.source, in_line(newest.task), side if newest.current else f"gone (was {side})"]


def _show_shares(shares: Sequence[Share]) -> None:
    _say(f"{len(shares) or 'no'} subsets and checkpoints hold rows of it")
    if shares:
        print_table(["rows", "of", *_HOLDER], [[share.rows, share.of, *holder_cells(share.holder)] for share in shares])


def _show_unknown(unknown: Sequence[UnknownConsumer], unreadable: int) -> None:
    if unknown:
        _say(f"of {len(unknown)} others it cannot be told whether they hold it")
        print_table([*_HOLDER, "why"], [[*holder_cells(consumer.holder), consumer.why] for consumer in unknown])
    if unreadable:
        _say(f"{unreadable} manifests cannot be relied on and are left out: `smart verify` names them")


def holder_cells(holder: Consumer) -> list[object]:
    """Return a subset or checkpoint in five cells: its name, seed, time, run and state."""
    return [
        _name(holder),
        "" if holder.seed is None else str(holder.seed),
        holder.made_at,
        shortened(holder.run_id, 8),
        _state(holder.current, holder.named, holder.artifact) + (", production" if holder.production else ""),
    ]


def _name(holder: Consumer) -> str:
    return f"{_KINDS[holder.asset]} {holder.budget}|{holder.recipe} {shortened(holder.content_version)}"


def _state(current: bool, named: bool, artifact: str) -> str:
    state = "current" if current else "past" if named else "past, in smart.yaml no more"
    left = {"there": "", "collected": ", collected; its manifest remains"}.get(artifact, f", {artifact}")
    return f"{state}{left}"


_TASKS = 20
_FORGOTTEN = 10


def show_model(config: Path | None, names: Sequence[str], seed: int | None, as_json: bool, out: Path | None) -> int:
    """Print or write the audit of a model; gives 1 where something is not as it was recorded."""
    project = load_project(config)
    audit = audit_model(project, names, seed, lambda line: None if as_json else console.print(literal(line, "dim")))
    if out is not None:
        _write_page(audit, out)
        if audit.has_kept:  # what people said of themselves
            remember_export(project.store, out, audit.subset)
    if as_json:
        print_json(audit.as_json())
    else:
        _show_audit(audit, out)
    return 1 if audit.problems else 0


def _write_page(audit: ModelAudit, out: Path) -> None:
    from smart_assets.lineage.model_audit.page import render_audit

    def write(draft: Path) -> None:
        draft.write_text(render_audit(audit), encoding="utf-8")

    write_beside(out, write)


def _show_audit(audit: ModelAudit, out: Path | None) -> None:
    past = "" if audit.current else ", of the past"
    console.print(literal(f"{audit.budget} {audit.recipe}, seed {audit.seed}: {audit.content_version}{past}", "bold"))
    base = audit.base_model
    revision = f" at {base['revision']}" if base.get("revision") else ""
    facts = [
        ("weights", audit.path),
        ("base model", f"{base.get('reference')}{revision}, weights sha256 {base.get('weights_sha256')}"),
        ("recipe", json.dumps(audit.selection.get("recipe"))),
        ("fine-tuning", json.dumps(audit.hyperparameters)),
        ("training", json.dumps(audit.training)),
        ("packages", ", ".join(f"{name} {version}" for name, version in sorted(audit.chain[0].packages.items()))),
        ("left out", f"{len(audit.dropped)} rows; {len(audit.truncated)} lost part of their prompt"),
        (
            "rejected",
            ", ".join(f"{group.source}: {group.rows:,} {group.reason}" for group in audit.rejected) or "no row",
        ),
    ]
    for name, value in facts:
        console.print(literal(f"{name:12}", "dim") + literal(value))
    print_table(
        ["asset", "partition", "content version", "made (UTC)", "files", "hashes"],
        [
            [link.asset, link.partition, link.content_version, link.made_at, link.files, link.verdict]
            for link in audit.chain
        ],
    )
    print_table(
        ["source", "file", "sha256", "now"], [[file.source, file.path, file.sha256, file.state] for file in audit.raw]
    )
    tasks = [[task.task, task.source, task.rows, task.size, task.weight, task.gain] for task in audit.tasks]
    print_table(["task", "source", "rows", "of", "weight", "gain"], first(tasks, _TASKS))
    if len(tasks) > len(first(tasks, _TASKS)):
        console.print(literal(f"and {len(tasks) - _TASKS} more tasks", "dim"))
    where = f"; {out} lists them" if out else "; --out report.html or --json lists them"
    console.print(literal(f"{audit.rows.num_rows:,} rows, each with id, origin, rank and gain{where}"))
    _show_forgotten(audit)
    for problem in audit.problems:
        console.print(literal(problem, "red"))
    if not audit.problems:
        redacted = sum(link.redacted > 0 for link in audit.chain)
        less = f", or redacted since ({redacted} of {len(audit.chain)} links)" if redacted else ""
        console.print(literal(f"every file between the raw rows and these weights is what was recorded{less}", "green"))


def _show_forgotten(audit: ModelAudit) -> None:
    """Rows that were there when the model was trained, and are to be nowhere now."""
    shown = first(audit.forgotten, _FORGOTTEN)
    for row in shown:
        why, task = in_line(row.reason), in_line(row.task)
        console.print(literal(f"a row was here, forgotten on {row.at} because {why}: {row.id}, task {task}", "yellow"))
    if len(audit.forgotten) > len(shown):
        console.print(literal(f"and {len(audit.forgotten) - len(shown):,} more forgotten rows", "yellow"))
    if audit.forgotten:
        console.print(
            literal("these weights stay trained on what is forgotten until the model is trained again", "yellow")
        )
