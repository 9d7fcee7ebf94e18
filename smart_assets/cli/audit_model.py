"""`smart audit model`."""

import json
from collections.abc import Sequence
from pathlib import Path

from smart_assets.cli.terminal import console, first, literal, print_json, print_table
from smart_assets.core.files import write_beside
from smart_assets.core.safe_text import in_line
from smart_assets.lineage.model_audit.gather import ModelAudit, audit_model
from smart_assets.settings import load_project

_TASKS = 20
_FORGOTTEN = 10


def show_model(config: Path | None, names: Sequence[str], seed: int | None, as_json: bool, out: Path | None) -> int:
    """Print or write the audit of a model; gives 1 where something is not as it was recorded."""
    audit = audit_model(
        load_project(config), names, seed, lambda line: None if as_json else console.print(literal(line, "dim"))
    )
    if out is not None:
        _write_page(audit, out)
    if as_json:
        print_json(audit.as_json())
    else:
        _tell(audit, out)
    return 1 if audit.problems else 0


def _write_page(audit: ModelAudit, out: Path) -> None:
    from smart_assets.lineage.model_audit.page import render_audit

    def write(draft: Path) -> None:
        draft.write_text(render_audit(audit), encoding="utf-8")

    write_beside(out, write)


def _tell(audit: ModelAudit, out: Path | None) -> None:
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
        ("rejected", ", ".join(f"{one.source}: {one.rows:,} {one.reason}" for one in audit.rejected) or "no row"),
    ]
    for name, value in facts:
        console.print(literal(f"{name:12}", "dim") + literal(value))
    print_table(
        ["asset", "partition", "content version", "made (UTC)", "files", "hashes"],
        [[one.asset, one.partition, one.content_version, one.made_at, one.files, one.verdict] for one in audit.chain],
    )
    print_table(
        ["source", "file", "sha256", "now"], [[one.source, one.path, one.sha256, one.state] for one in audit.raw]
    )
    tasks = [[one.task, one.source, one.rows, one.size, one.weight, one.gain] for one in audit.tasks]
    print_table(["task", "source", "rows", "of", "weight", "gain"], first(tasks, _TASKS))
    if len(tasks) > len(first(tasks, _TASKS)):
        console.print(literal(f"and {len(tasks) - _TASKS} more tasks", "dim"))
    where = f"; {out} lists them" if out else "; --out report.html or --json lists them"
    console.print(literal(f"{audit.rows.num_rows:,} rows, each with id, origin, rank and gain{where}"))
    _tell_forgotten(audit)
    for problem in audit.problems:
        console.print(literal(problem, "red"))
    if not audit.problems:
        redacted = sum(link.redacted > 0 for link in audit.chain)
        less = f", or redacted since ({redacted} of {len(audit.chain)} links)" if redacted else ""
        console.print(literal(f"every file between the raw rows and these weights is what was recorded{less}", "green"))


def _tell_forgotten(audit: ModelAudit) -> None:
    """Rows that were there when the model was trained, and are to be nowhere now."""
    shown = first(audit.forgotten, _FORGOTTEN)
    for one in shown:
        why, task = in_line(one.reason), in_line(one.task)
        console.print(literal(f"a row was here, forgotten on {one.at} because {why}: {one.id}, task {task}", "yellow"))
    if len(audit.forgotten) > len(shown):
        console.print(literal(f"and {len(audit.forgotten) - len(shown):,} more forgotten rows", "yellow"))
    if audit.forgotten:
        console.print(
            literal("these weights stay trained on what is forgotten until the model is trained again", "yellow")
        )
