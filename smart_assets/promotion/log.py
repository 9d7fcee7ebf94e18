"""Which model is production: promoted and rolled back by people or by the rule, kept as a log in the store.

Production is what the log comes to when it is replayed as a stack: promoting pushes, rolling back pops. A rollback
names the model that it takes back, so that two of them at once take back one model and not two. The link
`<store>/production` is a convenience that is made from the log; whoever needs certainty asks `production`.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from smart_assets.assets import eval_results, finetuned_checkpoint
from smart_assets.assets.model_records import seeds_of
from smart_assets.assets.step import AssetPartition, grid_key, seed_folder
from smart_assets.core.environment import user_name
from smart_assets.core.errors import SmartError, StoreError, UpstreamMissingError
from smart_assets.core.files import move
from smart_assets.core.section import Section
from smart_assets.settings import Project
from smart_assets.settings.automation import Promotion
from smart_assets.store import Manifest
from smart_assets.store.log import append, records

LOG = "promotions"
LINK = "production"
RULE = "rule"
CHECKPOINT = finetuned_checkpoint.NAME


class Promoted(Section):
    """Weights that are or were production: one seed of one version of a checkpoint."""

    budget: int = Field(description="Of the checkpoint's partition.")
    recipe: str = Field(description="Of the checkpoint's partition.")
    seed: int = Field(description="Which of the checkpoint's fine-tunes.")
    content_version: str = Field(description="Of the checkpoint's artifact.")

    @property
    def partition(self) -> str:
        """The partition key of budget and recipe."""
        return grid_key(self.budget, self.recipe)

    def __str__(self) -> str:
        return f"{self.partition}, seed {self.seed} ({self.content_version[:12]})"


class Record(Section):
    """One decision."""

    at: datetime = Field(description="When, in UTC.")
    action: Literal["promote", "rollback"] = Field(description="What was done.")
    model: Promoted = Field(description="What became production, or what stopped being it by a rollback.")
    reason: str = Field(default="", description="Why, in the words of who did it.")
    who: str = Field(description="The name of the user, or `rule`.")
    figures: dict[str, Any] = Field(default={}, description="What the rule went by.")


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a promotion or a rollback; `changed` is False where production stays what it was."""

    production: Promoted
    changed: bool
    sentence: str


def promote(project: Project, budget: int, recipe: str, seed: int | None = None, reason: str = "") -> Change:
    """Make the newest checkpoint of a budget and recipe production.

    Args:
        seed: which of its fine-tunes; None for the first.

    Raises:
        UpstreamMissingError: there is no checkpoint.
        SmartError: it has no such seed.
        StoreError: its files are not whole, or the log cannot be read or written.
    """
    model = newest(project, budget, recipe, seed)
    before = production(project)
    if model == before:
        return Change(model, False, f"{model} is production already")
    weights(project, model)
    record(project, "promote", model, reason)
    link(project)
    instead = f" instead of {before}" if before else ""
    unmeasured = evaluation_of(project, model) is None
    warning = "; warning: this version has no eval_results, so nobody knows how good it is" if unmeasured else ""
    rule = project.settings.promotion
    then = "; the rule of smart.yaml compares new models with it from now on" if rule else ""
    return Change(model, True, f"{model} is production now{instead}{then}{warning}")


def rollback(project: Project, reason: str = "") -> Change:
    """Make production what it was before.

    Raises:
        SmartError: there is nothing before it.
        StoreError: the earlier model's files are not whole, or the log cannot be read or written.
    """
    stack = replay(history(project))
    if len(stack) < 2:
        now = f"production is {stack[0]}, and nothing was before it" if stack else "no model was ever promoted"
        raise SmartError(f"there is nothing to roll back to: {now}")
    *_, before, current = stack
    weights(project, before)
    record(project, "rollback", current, reason)
    link(project)
    return Change(before, True, f"{before} is production again instead of {current}")


def production(project: Project) -> Promoted | None:
    """Return the promoted model of the project, or None before the first promotion.

    Raises:
        StoreError: a record of the log cannot be read.
    """
    stack = replay(history(project))
    return stack[-1] if stack else None


def pinned(project: Project) -> frozenset[str]:
    """Return the content versions that must stay in the store whatever their age.

    They are production and what was before it, as many as `retention.newest` says. Each stays with the evaluation that
    later candidates are compared with, and so does the evaluation of the best production so far.
    """
    log, rule = history(project), project.settings.promotion
    models = replay(log)[-project.settings.retention.newest :]
    best = best_so_far(log, rule) if rule is not None else None
    compared = dict.fromkeys((*models, *((best,) if best else ())))
    evaluations = [evaluation for model in compared if (evaluation := evaluation_of(project, model))]
    return frozenset(item.content_version for item in (*models, *evaluations))


def replay(log: Iterable[Record]) -> tuple[Promoted, ...]:
    """Return production last, and before it what rolling back leads to; empty before the first promotion."""
    return tuple(entry.model for entry in _in_force(log))


def best_so_far(log: Iterable[Record], rule: Promotion) -> Promoted | None:
    """Return the best of the models that the rule made production one after the other; None before the first promotion.

    A promoted model is the best so far where its figure is better than that of the one that was it. What a person
    promotes is the best so far whatever its figures, and so is the last model that the rule promoted by another metric
    or benchmark: nothing says how it compares with those before it. What was rolled back never was production.
    """
    best: Promoted | None = None
    behind = 0.0
    for entry in _in_force(log):
        gap = _behind_best(entry, rule, behind) if best else None
        best, behind = (entry.model, 0.0) if gap is None or gap < 0 else (best, gap)
    return best


def _behind_best(entry: Record, rule: Promotion, behind: float) -> float | None:
    """How much worse a promoted model is than the best before it, as a loss; None where nothing tells.

    Args:
        entry: of its promotion.
        rule: what the best is asked for.
        behind: of production before it. Old records compare with that one alone.
    """
    by = entry.figures.get("rule", {})
    if entry.who != RULE or (by.get("benchmark"), by.get("metric")) != (rule.benchmark, rule.metric):
        return None
    if "best" in entry.figures:
        return float(entry.figures["best"]["mean"])
    return behind + float(entry.figures["mean"]) if "mean" in entry.figures else None


def _in_force(log: Iterable[Record]) -> tuple[Record, ...]:
    """Return the promotions that no rollback took back, oldest first."""
    stack: list[Record] = []
    for entry in log:
        on_top = bool(stack) and stack[-1].model == entry.model
        if entry.action == "promote" and not on_top:
            stack.append(entry)
        elif entry.action == "rollback" and on_top and len(stack) > 1:
            stack.pop()
    return tuple(stack)


def history(project: Project) -> list[Record]:
    """All decisions, oldest first.

    Raises:
        StoreError: one of them cannot be read.
    """
    try:
        return [Record.model_validate(record) for record in records(project.store, LOG)]
    except ValidationError as error:
        raise StoreError(
            f"a record in {project.store.root / LOG} is not one of a promotion: restore it, or move it away to undo it"
            f"\n{error}"
        ) from error


def record(
    project: Project,
    action: Literal["promote", "rollback"],
    model: Promoted,
    reason: str,
    by_rule: Mapping[str, Any] | None = None,
) -> None:
    """Append a decision to the log; `by_rule` are the figures that the rule went by, None for a person's decision."""
    entry = Record(
        at=datetime.now(UTC),
        action=action,
        model=model,
        reason=reason,
        who=user_name() if by_rule is None else RULE,
        figures=dict(by_rule or {}),
    )
    append(project.store, LOG, entry.model_dump(mode="json"))


def newest(project: Project, budget: int, recipe: str, seed: int | None = None) -> Promoted:
    """Return the newest checkpoint of a budget and recipe, and one of its seeds (None for the first).

    Raises:
        UpstreamMissingError: there is no checkpoint.
        SmartError: it has no such seed.
    """
    key = AssetPartition(CHECKPOINT, grid_key(budget, recipe))
    manifest = project.store.current(key.asset, key.partition)
    if manifest is None:
        raise UpstreamMissingError(
            f"{key} was never made: `smart models` lists the checkpoints there are, `smart run --select '{key}'` "
            "trains one"
        )
    seeds = seeds_of(manifest)
    if seed is not None and seed not in seeds:
        raise SmartError(f"{key} has no seed {seed}; its seeds are {', '.join(map(str, seeds))}")
    chosen = seeds[0] if seed is None else seed
    return Promoted(budget=budget, recipe=recipe, seed=chosen, content_version=manifest.content_version)


def weights(project: Project, model: Promoted) -> Path:
    """Return the local folder of a model's seed, fetched from a remote store where it is not here yet.

    Raises:
        StoreError: its files are not whole; the message says how to get them back.
    """
    store, key = project.store, AssetPartition(CHECKPOINT, model.partition)
    manifest = store.find(key.asset, key.partition, model.content_version)
    if manifest is None:
        raise StoreError(f"no manifest of {key} names {model}: restore it, or promote another model")
    try:
        return store.artifact(manifest) / seed_folder(model.seed)
    except StoreError as error:
        newest_one = store.current(key.asset, key.partition)
        again = newest_one is not None and newest_one.content_version == model.content_version
        advice = f"`smart run --select '{key}'` makes it again" if again else "promote another model"
        folder = store.artifact_folder(key.asset, model.content_version)
        raise StoreError(
            f"the files of {model} are not whole in the store: restore {folder} from a backup, or {advice}"
        ) from error


def evaluation_of(project: Project, model: Promoted) -> Manifest | None:
    """Return the newest `eval_results` that measured this very version and still are in the store."""
    key = str(AssetPartition(CHECKPOINT, model.partition))
    for manifest in project.store.history(eval_results.NAME, model.partition):
        if manifest.inputs.get(key) == model.content_version and project.store.is_whole(manifest):
            return manifest
    return None


def link(project: Project) -> Path | None:
    """Point the link `<store>/production` at production's weights, in one step.

    Returns:
        The link; None where nothing is production, its files are not on this machine, or links cannot be made here:
        then there is no link either, rather than one to another model.
    """
    model, root = production(project), project.store.root
    if model is None:
        return None
    path = root / LINK
    place = project.store.artifact_folder(CHECKPOINT, model.content_version) / seed_folder(model.seed)
    try:
        if not place.is_dir():
            raise FileNotFoundError(place)
        with project.store.draft() as folder:
            (folder / LINK).symlink_to(place.relative_to(root))  # the store may be moved
            move(folder / LINK, path)
    except OSError:
        with suppress(OSError):  # a folder of that name is not ours
            path.unlink(missing_ok=True)
        return None
    return path
