"""`smart forget`, and what of `smart gc` is about forgotten rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from smart_assets.assets import finetuned_checkpoint
from smart_assets.cli.audit import holder_cells
from smart_assets.cli.options import refuse
from smart_assets.cli.terminal import console, literal, print_json, print_table, shortened, spinner
from smart_assets.cli.upkeep import size
from smart_assets.core.errors import ConditionError, SmartError
from smart_assets.core.safe_text import in_line
from smart_assets.forgetting.affected import AffectedArtifact
from smart_assets.forgetting.exports import Exported
from smart_assets.forgetting.find import ForgetRequest, by_condition, by_ids, by_task, by_text
from smart_assets.forgetting.removal import Removal, carry_out, find_removal
from smart_assets.forgetting.tombstone import Forgetting, Undoing, forget, undo
from smart_assets.forgetting.where import Selected
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.lineage.audit.row_history import RowHistory
from smart_assets.settings import load_project
from smart_assets.tasks.tombstones import read_tombstones


def forget_rows(
    config: Path | None,
    named: tuple[Sequence[str], str | None, str | None, str | None],
    because: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write a tombstone for rows, and say what holds them and what comes next.

    Args:
        config: of the project.
        named: ids, or a task, or a text, or a condition; one of them.
        because: the reason.
        dry_run: write nothing.
        as_json: say it in JSON.
    """
    project = load_project(config)
    reader = AuditReader(project)
    request, selected = _request(reader, *named)
    if selected is not None and not as_json:
        _show_selected(selected)
    done = forget(project, reader, request, because, dry_run)
    if as_json:
        shown = {**asdict(done), "record": done.record.model_dump(mode="json"), "key": done.record.key}
        print_json({**shown, **({"selected": asdict(selected)} if selected else {})})
    else:
        _show_done(done, dry_run)


def undo_forgetting(
    config: Path | None, key: str, because: str = "", dry_run: bool = False, as_json: bool = False
) -> None:
    """Take a tombstone back, or say what that would bring back."""
    done = undo(load_project(config), key, because, dry_run)
    if as_json:
        tombstone = {"key": done.tombstone.key, **done.tombstone.model_dump(mode="json")}
        shown = {**asdict(done), "tombstone": tombstone, "record": done.record.model_dump(mode="json")}
        print_json({**shown, "kept_out": done.kept_out, "undone": not dry_run})
    else:
        _tell_undoing(done, dry_run)


def list_forgotten(config: Path | None, as_json: bool) -> None:
    """Print all tombstones, also those that were undone."""
    tombstones = read_tombstones(load_project(config).store)
    active = {tombstone.key for tombstone in tombstones.active}
    given = [tombstone for tombstone in tombstones.records if tombstone.action == "forget"]
    states = [
        "undone" if tombstone.key not in active else "removed" if tombstone.key in tombstones.final else "forgotten"
        for tombstone in given
    ]
    if as_json:
        rows = zip(given, states, strict=True)
        print_json(
            [{"key": tombstone.key, "state": state, **tombstone.model_dump(mode="json")} for tombstone, state in rows]
        )
        return
    if not given:
        console.print(literal("nothing was ever forgotten"))
        return
    print_table(
        ["key", "what", "on", "who", "because", "state"],
        [
            [tombstone.key, tombstone.what, f"{tombstone.at:%Y-%m-%d}", tombstone.who, tombstone.reason, state]
            for tombstone, state in zip(given, states, strict=True)
        ],
    )


def remove_forgotten(config: Path | None, dry_run: bool) -> None:
    """Take forgotten rows out of everything of the past, or say what that would do."""
    project = load_project(config)
    with spinner("looking for forgotten rows") as log:
        removal = find_removal(project)
        final = not dry_run and carry_out(project, removal, log)
    _show_removal(removal, dry_run)
    if removal.current:
        console.print(
            literal(
                "the state of these is what it is: `smart run` makes them without the forgotten rows. Where it finds "
                "nothing to do, the rows stand in `evaluate.collections`, too, or a run was at work when they were "
                "forgotten: take them out there, or forget them again"
            )
        )
        print_table(["asset", "version", "rows"], _affected_rows(removal.current))
    if final:
        console.print(
            literal("no artifact holds the forgotten rows any more; models keep what they learnt until retrained")
        )


def _request(
    reader: AuditReader, ids: Sequence[str], task: str | None, match: str | None, where: str | None
) -> tuple[ForgetRequest, Selected | None]:
    if sum([bool(ids), task is not None, match is not None, where is not None]) != 1:
        raise SmartError(
            'name what to forget in one way: ids of rows, --task NAME, --match "...", or --where "CONDITION"'
        )
    if where is not None:
        try:
            return by_condition(reader, where)
        except ConditionError as error:
            refuse(str(error))
    if task is not None:
        return by_task(reader, task), None
    return by_text(reader, match) if match is not None else by_ids(reader, ids), None


def _show_selected(selected: Selected) -> None:
    """Print how many rows of which tasks a condition means, before anything is written."""
    print_table(
        ["source", "task", "rows", "of these by an exact duplicate alone"],
        [[count.source, count.task, count.rows, count.duplicates] for count in selected.tasks],
    )


def _tell_undoing(done: Undoing, dry_run: bool) -> None:
    tombstone = done.tombstone
    head = "could be kept again" if dry_run else "may be kept again"
    because = f", because {done.record.reason}" if done.record.reason else ""
    why = f"forgotten on {tombstone.at:%Y-%m-%d} by {tombstone.who} because {tombstone.reason}"
    console.print(literal(in_line(f"{tombstone.what}: {head}{because} ({tombstone.key}: {why})"), "bold"))
    _show_rows(done.rows, len(done.returning))
    if done.kept_out:
        console.print(literal(f"{done.kept_out:,} of its rows stay out: other tombstones name them, too"))
    sources = ", ".join(done.record.sources) or "no source that is known to have them"
    if tombstone.task is not None:
        console.print(literal(in_line(f"rows of the task {tombstone.task!r} that come later could come in, too")))
    would = "nothing was undone; without --dry-run `smart run` would read" if dry_run else "`smart run` reads"
    rest = "what they still have of it is selected and trained on as any other row"
    console.print(literal(in_line(f"{would} again: {sources}; {rest}"), "yellow"))


def _show_done(done: Forgetting, dry_run: bool) -> None:
    record = done.record
    head = "would be forgotten" if dry_run else f"forgotten ({record.key})"
    console.print(literal(f"{record.what}: {head}, because {in_line(record.reason)}", "bold"))
    _show_rows(done.rows, len(record.ids))
    console.print(literal("held by" if done.held_by else "no subset or checkpoint holds any of it"))
    if done.held_by:
        cells = [[share.rows, share.of, *holder_cells(share.holder)] for share in done.held_by]
        print_table(["rows", "of", "holder", "seed", "made (UTC)", "run", "state"], cells)
    if done.same_prompt:
        console.print(
            literal(f"{done.same_prompt:,} other rows have the same prompt and stay: `smart audit row` shows them")
        )
    for line in done.not_covered:
        console.print(literal(in_line(line), "yellow"))
    trained = sum(share.holder.asset == finetuned_checkpoint.NAME for share in done.held_by)
    if trained:
        console.print(literal("weights stay trained on what is forgotten until they are trained again", "yellow"))
    console.print(
        literal(
            "your own files are not touched: what stands there is left out when it is read\n"
            "`smart run` makes everything without it; `smart gc --forgotten` then takes it out of the past for good",
            "dim",
        )
    )


def _show_rows(places: Mapping[str, Sequence[RowHistory]], total: int) -> None:
    """Print the first rows of a tombstone with their newest place, and how many there are beside them."""
    rows = [
        [id_, place.source, place.task, "now" if place.current else "in the past", place.origin.in_words]
        for id_, histories in places.items()
        for place in histories[:1]
    ]
    if rows:
        print_table(["row", "source", "task", "stands", "at"], rows)
    if total > len(rows):
        more = "more, refused rows among them" if rows else "rows, refused ones or of no past that is left"
        console.print(literal(f"{'and ' if rows else ''}{total - len(rows):,} {more}", "dim"))


def _show_removal(removal: Removal, dry_run: bool) -> None:
    if removal.past:
        console.print(literal("would be redacted" if dry_run else "redacted", "bold"))
        print_table(["asset", "version", "rows", "what stays"], _affected_rows(removal.past, kept=True))
    if removal.beside:
        console.print(literal("would be removed" if dry_run else "removed", "bold"))
        sizes: Counter[tuple[str, str]] = Counter()
        for item in removal.beside:
            sizes[item.what, item.why] += item.size
        print_table(["where", "size", "why"], [[what, size(total), why] for (what, why), total in sizes.items()])
    if removal.exports:
        print_table(
            ["exported file or folder", "written (UTC)", "now"],
            [
                [export.export.path, f"{export.export.at:%Y-%m-%d %H:%M}", _export_state(export, dry_run)]
                for export in removal.exports
            ],
        )
    if not (removal.past or removal.beside or removal.exports):
        console.print(literal("nothing of the past holds forgotten rows"))


def _export_state(exported: Exported, dry_run: bool) -> str:
    if exported.state == "as written":
        return "would be removed" if dry_run else "removed"
    return f"{exported.state}: look at it yourself"


def _affected_rows(affected: Sequence[AffectedArtifact], kept: bool = False) -> list[list[object]]:
    return [
        [
            artifact.artifact.asset,
            shortened(artifact.artifact.version),
            len(artifact.ids),
            *([artifact.kept] if kept else []),
        ]
        for artifact in sorted(affected, key=lambda artifact: (artifact.artifact.asset, artifact.artifact.version))
    ]
