"""Which checkpoints to train again: those whose subset really changed since they were trained, and only those.

The decision has no memory of its own: it compares the subset of each budget and recipe with the one that its newest
checkpoint was trained on. So small changes add up until they reach `automation.minimum_change`, and after a crash, a
missed tick or days off the next decision is the right one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from smart_assets.lineage.graph import partitions
from smart_assets.lineage.plan import PlanStep, Present
from smart_assets.pipeline.step import AssetPartition, split_grid_key
from smart_assets.settings import Project

SUBSET, CHECKPOINT, RESULTS, BASE = "selected_subset", "finetuned_checkpoint", "eval_results", "base_model_results"
Plan = Mapping[AssetPartition, PlanStep]


@dataclass(frozen=True, slots=True)
class Due:
    """Partitions of one key that are to be made, and why."""

    steps: tuple[PlanStep, ...]
    reason: str
    share: float  # of the subset's rows that changed; 1 where there is no checkpoint yet, 0 where none is trained

    @property
    def trains(self) -> bool:
        """Whether a model is trained, not only evaluated."""
        return any(step.key.asset == CHECKPOINT for step in self.steps)


@dataclass(frozen=True, slots=True)
class Retraining:
    """What is due, the largest change first, and why the other out-of-date partitions are not."""

    due: tuple[Due, ...]
    left: Mapping[AssetPartition, str]


def decide(
    project: Project, results: Plan, present: Present, about_to_change: frozenset[AssetPartition] = frozenset()
) -> Retraining:
    """Compare every subset with the one its checkpoint was trained on.

    Args:
        project: its `automation` says what counts as a change, and which recipes are left out.
        results: the plan of checkpoints and results alone, for which subsets count as they stand.
        present: what is there.
        about_to_change: subsets that something makes again now, and that are waited for.
    """
    decision = _Decision(project, results, present, about_to_change)
    due: list[Due] = []
    left: dict[AssetPartition, str] = {}
    for key in partitions(project, CHECKPOINT):
        found = decision.of(key.partition)
        if isinstance(found, Due):
            due.append(found)
        elif found is not None:
            left[key] = found
    base = results[AssetPartition(BASE)]
    first = [Due((base,), "never made", 0)] if base.status == "missing" else []
    return Retraining((*first, *sorted(due, key=lambda one: -one.share)), left)


class _Decision:
    def __init__(
        self, project: Project, results: Plan, present: Present, about_to_change: frozenset[AssetPartition]
    ) -> None:
        self._automation = project.settings.automation
        self._results, self._present, self._about_to_change = results, present, about_to_change

    def of(self, partition: str | None) -> Due | str | None:
        """What is due of a budget and recipe, why it is left as it is, or None where all is current."""
        checkpoint, results = (self._results[AssetPartition(name, partition)] for name in (CHECKPOINT, RESULTS))
        if checkpoint.status == results.status == "current":
            return None
        held_up = self._held_up(checkpoint)
        if held_up is not None:
            return held_up
        trained = self._training(checkpoint)
        if isinstance(trained, Due):
            steps = (checkpoint, results) if results.to_do else (checkpoint,)
            return Due(steps, trained.reason, trained.share)
        if results.status == "blocked":
            return trained or results.reasons[0]
        if self._evaluates_another_checkpoint(results):
            return Due((results,), "the checkpoint was not evaluated yet", 0)
        return trained or f"{results.why[0]}; its subset did not change: `smart run` evaluates again"

    def _held_up(self, checkpoint: PlanStep) -> str | None:
        """Why a budget and recipe is not looked at now."""
        recipe = split_grid_key(checkpoint.key.partition)[1]
        if recipe in self._automation.not_retrained:
            return f"automation.not_retrained names {recipe}"
        if checkpoint.status == "blocked":
            return checkpoint.reasons[0]
        if AssetPartition(SUBSET, checkpoint.key.partition) in self._about_to_change:
            return "its subset is out of date, and is made first"
        return None

    def _training(self, checkpoint: PlanStep) -> Due | str | None:
        """Whether a checkpoint is due for training; why not, where it is out of date all the same."""
        manifest = self._present.current(checkpoint.key)
        if checkpoint.status == "current":
            return None
        if manifest is None or not self._present.whole(manifest):
            return Due((checkpoint,), checkpoint.reasons[0], 1)
        subset = AssetPartition(SUBSET, checkpoint.key.partition)
        before, now = manifest.inputs[str(subset)], self._present.current(subset)
        if now is None or before == now.content_version:
            return f"{checkpoint.why[0]}; its subset did not change: `smart run` trains it again"
        details = self._present.details
        replaced = details.replaced(subset, before, now) if details is not None else None
        forgotten = details.forgotten(manifest) if details is not None else ()
        if replaced is None or forgotten:  # what is forgotten is unlearnt, however few rows it is
            return Due((checkpoint,), f"it {forgotten[0]}" if forgotten else "its subset changed", 1)
        rows, of = replaced
        words = f"{rows:,} of {of:,} rows of its subset changed ({rows / of:.1%})"
        if not rows or rows < of * self._automation.minimum_change:
            return f"{words}, less than automation.minimum_change ({self._automation.minimum_change:.1%})"
        return Due((checkpoint,), words, rows / of)

    def _evaluates_another_checkpoint(self, results: PlanStep) -> bool:
        """Whether the results are missing, or of another checkpoint than the newest."""
        manifest = self._present.current(results.key)
        checkpoint = AssetPartition(CHECKPOINT, results.key.partition)
        newest = self._present.current(checkpoint)
        if manifest is None or newest is None or not self._present.whole(manifest):
            return newest is not None
        return manifest.inputs[str(checkpoint)] != newest.content_version
