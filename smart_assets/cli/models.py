"""`smart promote`, `smart rollback` and `smart models`."""

from collections.abc import Sequence
from pathlib import Path

from smart_assets.assets.step import split_grid_key
from smart_assets.cli.terminal import console, literal, print_table, shortened
from smart_assets.core.errors import StoreError
from smart_assets.planning.graph import partitions
from smart_assets.promotion import log as promotion_log
from smart_assets.promotion.rule import judge, main_figure, measured_by
from smart_assets.settings import Project, load_project
from smart_assets.store.records import made_at


def promote_model(config: Path | None, mixture: tuple[int, str], seed: int | None, because: str) -> None:
    """Make the newest checkpoint of a budget and recipe production, and say where its weights are."""
    project = load_project(config)
    change = promotion_log.promote(project, *mixture, seed, because)
    console.print(literal(change.sentence))
    _show_weights(project, change.production)


def roll_back(config: Path | None, because: str) -> None:
    """Make production what it was before, and say where its weights are."""
    project = load_project(config)
    change = promotion_log.rollback(project, because)
    console.print(literal(change.sentence))
    _show_weights(project, change.production)


def show_models(config: Path | None) -> None:
    """Print the newest checkpoint of every budget and recipe, production among them, and where its weights are."""
    project = load_project(config)
    log, rule = promotion_log.history(project), project.settings.promotion
    stack = promotion_log.replay(log)
    current = stack[-1] if stack else None
    shown = [key.partition for key in partitions(project, promotion_log.CHECKPOINT)]
    if current is not None and current.partition not in shown:  # it is not in smart.yaml any more
        shown.append(current.partition)
    rows = [row for partition in shown for row in _rows(project, str(partition), current)]
    if rows:
        columns = ["budget", "recipe", "version", "trained (UTC)", "seed", measured_by(project), "production"]
        print_table(columns, rows)
    else:
        console.print(literal("no checkpoint was trained yet: `smart run` makes them"))
    if current is not None:
        _show_weights(project, current)
        console.print(literal(f"promoted because: {_reason(log, current)}"))
    best = promotion_log.best_so_far(log, rule) if rule is not None else None
    if best is not None and best != current:
        console.print(literal(f"the best production so far, which new models are compared with too: {best}"))
    if rule is not None and (judgement := judge(project)).candidate is not None:
        console.print(literal(f"by the rule, at its next look: {judgement.sentence}"))
    if len(stack) > 1:
        console.print(literal(f"`smart rollback` goes back to {stack[-2]}"))


def _reason(log: Sequence[promotion_log.Record], current: promotion_log.Promoted) -> str:
    """Why production was promoted, and by whom."""
    entry = next(entry for entry in reversed(log) if (entry.action, entry.model) == ("promote", current))
    return f"{entry.reason or 'no reason was given'} ({entry.who}, {entry.at:%Y-%m-%d})"


def _rows(project: Project, partition: str, current: promotion_log.Promoted | None) -> list[list[object]]:
    """Return the newest checkpoint of a partition, and production where it is an older one of it."""
    budget, recipe = split_grid_key(partition)
    newest = project.store.current(promotion_log.CHECKPOINT, partition)
    promoted = current.content_version if current is not None and current.partition == partition else None
    versions = [newest.content_version] if newest else []
    if promoted is not None and promoted not in versions:
        versions.append(promoted)
    rows: list[list[object]] = []
    for version in versions:
        manifest = project.store.find(promotion_log.CHECKPOINT, partition, version)
        model = (
            current if current is not None and version == promoted else promotion_log.newest(project, budget, recipe)
        )
        evaluation = promotion_log.evaluation_of(project, model)
        mark = f"seed {model.seed}" if model == current else ""
        trained = made_at(manifest) if manifest else ""
        figure = main_figure(project, evaluation, model.seed) if evaluation else None
        rows.append([budget, recipe, shortened(version), trained, model.seed, figure, mark])
    return rows


def _show_weights(project: Project, model: promotion_log.Promoted) -> None:
    try:
        folder = promotion_log.weights(project, model)
    except StoreError as error:
        console.print(literal(f"production: {error}"))
        return
    console.print(literal(f"production: {folder}"))
    link = promotion_log.link(project)
    if link is not None:
        console.print(literal(f"      link: {link}"))
