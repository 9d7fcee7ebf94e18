"""Which models to train again and which to evaluate anew: what really changed since they were, and only that.

The decision has no memory of its own: it compares the subset of each budget and recipe with the one that its newest
checkpoint was trained on. So small changes add up until they reach `automation.minimum_change`, and after a crash, a
missed tick or days off the next decision is the right one.

An evaluation costs little beside a training, and models are compared on the rows that all of them were asked: whatever
evaluation is out of date is made anew, the base model's too, also where a model is not trained again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_assets.assets import base_model_results, eval_results, finetuned_checkpoint, raw_tasks, selected_subset
from smart_assets.assets.model_records import CheckpointParameters
from smart_assets.assets.step import AssetPartition, split_grid_key
from smart_assets.planning.graph import desired_state, partitions
from smart_assets.planning.plan import CurrentState, PlanStep
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.hashing import json_version

SUBSET, CHECKPOINT, RESULTS, BASE = (
    selected_subset.NAME,
    finetuned_checkpoint.NAME,
    eval_results.NAME,
    base_model_results.NAME,
)
RAW = raw_tasks.NAME
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
    """What is due, the largest change first, and why each other partition that is out of date is not."""

    due: tuple[Due, ...]
    left: Mapping[AssetPartition, str]


def decide(
    project: Project,
    results: Plan,
    current_state: CurrentState,
    about_to_change: frozenset[AssetPartition] = frozenset(),
) -> Retraining:
    """Compare every subset with the one its checkpoint was trained on, and every evaluation with what is desired now.

    Args:
        project: its `automation` says what counts as a change, and what is left out.
        results: the plan of checkpoints and results alone, for which subsets and sources count as they stand.
        current_state: what is there.
        about_to_change: subsets and raw tasks that something makes again now, and that are waited for.
    """
    decision = _Decision(project, results, current_state, about_to_change)
    decisions = [item for key in partitions(project, CHECKPOINT) for item in decision.of(key.partition)]
    trains = any(isinstance(item, Due) and item.trains for item in decisions)
    decisions = [*decision.of_base(trains), *decisions, *decision.of_others()]
    due = sorted((item for item in decisions if isinstance(item, Due)), key=lambda item: -item.share)
    return Retraining(tuple(due), dict(item for item in decisions if not isinstance(item, Due)))


_Left = tuple[AssetPartition, str]
"""A partition that is out of date, and why it is left so."""


class _Decision:
    def __init__(
        self, project: Project, results: Plan, current_state: CurrentState, about_to_change: frozenset[AssetPartition]
    ) -> None:
        self._project, self._automation = project, project.settings.automation
        self._results, self._current_state, self._about_to_change = results, current_state, about_to_change

    def of(self, partition: str | None) -> Iterator[Due | _Left]:
        """Yield what is due of a budget and recipe, and why whatever else of it is out of date is left as it is."""
        checkpoint, results = (self._results[AssetPartition(name, partition)] for name in (CHECKPOINT, RESULTS))
        training = self._training(checkpoint)
        if isinstance(training, Due):
            if results.status == "blocked":
                yield results.key, results.reasons[0]
            steps = (checkpoint, results) if results.to_do else (checkpoint,)
            yield Due(steps, training.reason, training.share)
            return
        if training is not None:
            yield checkpoint.key, training
        if results.status != "current":
            evaluation = self._evaluation(results, training)
            yield evaluation if isinstance(evaluation, Due) else (results.key, evaluation)

    def of_base(self, trains: bool) -> Iterator[Due | _Left]:
        """Yield the same of the base model; `trains`: whether some model is trained now, as the settings have it."""
        base = self._results[AssetPartition(BASE)]
        if base.status == "current":
            return
        anew = self._held_up(base) or self._anew(base, [] if trains else self._checkpoints())
        yield anew if isinstance(anew, Due) else (base.key, anew)

    def of_others(self) -> Iterator[Due | _Left]:
        """Yield what is due of assets that are neither a training nor an evaluation: whatever is out of date."""
        for key, step in self._results.items():
            if key.asset in (CHECKPOINT, RESULTS, BASE) or step.status == "current":
                continue
            if step.status == "blocked":
                yield key, step.reasons[0]
            elif step.status == "waiting":
                yield key, f"it waits for {min(step.after)}"
            else:
                yield Due((step,), ", ".join(step.reasons), 0)

    def _training(self, checkpoint: PlanStep) -> Due | str | None:
        """Return whether a checkpoint is due for training; why not, where it is out of date all the same."""
        if checkpoint.status == "current":
            return None
        if checkpoint.status == "blocked":
            return checkpoint.reasons[0]
        recipe = split_grid_key(checkpoint.key.partition)[1]
        if recipe in self._automation.not_retrained:
            return f"{checkpoint.why[0]}; automation.not_retrained names {recipe}"
        if AssetPartition(SUBSET, checkpoint.key.partition) in self._about_to_change:
            return "its subset is out of date, and is made first"
        return self._training_of_change(checkpoint)

    def _training_of_change(self, checkpoint: PlanStep) -> Due | str:
        """Return whether the subset's change is reason enough to train."""
        manifest = self._whole(checkpoint.key)
        if manifest is None:
            return Due((checkpoint,), checkpoint.reasons[0], 1)
        subset = AssetPartition(SUBSET, checkpoint.key.partition)
        before, now = manifest.inputs[str(subset)], self._current_state.current(subset)
        if now is None or before == now.content_version:
            return f"{checkpoint.why[0]}; its subset did not change: `smart run` trains it again"
        details = self._current_state.details
        replaced = details.replaced(subset, before, now) if details is not None else None
        forgotten = details.forgotten(manifest) if details is not None else ()
        if replaced is None or forgotten:  # what is forgotten is unlearnt, however few rows it is
            return Due((checkpoint,), f"it {forgotten[0]}" if forgotten else "its subset changed", 1)
        rows, total = replaced
        words = f"{rows:,} of {total:,} rows of its subset changed ({rows / total:.1%})"
        if not changed_enough(rows, total, self._automation.minimum_change):
            return f"{words}, less than automation.minimum_change ({self._automation.minimum_change:.1%})"
        return Due((checkpoint,), words, rows / total)

    def _evaluation(self, results: PlanStep, training: str | None) -> Due | str:
        """Return whether a model that is not trained again is evaluated anew; why not, where that is out of date."""
        held_up = self._held_up(results)
        if held_up is not None:
            return held_up
        model = self._whole(AssetPartition(CHECKPOINT, results.key.partition))
        # Waiting: the evaluation is right for the model that there is, and only a training would change it.
        if training is not None and (model is None or results.status == "waiting"):
            return training
        evaluated = self._whole(results.key)
        if model is None or evaluated is None:
            return Due((results,), results.reasons[0], 0)
        if evaluated.inputs[f"{CHECKPOINT}[{results.key.partition}]"] != model.content_version:
            return Due((results,), "the checkpoint was not evaluated yet", 0)
        return self._anew(results, [model])

    def _held_up(self, evaluation: PlanStep) -> str | None:
        """Return why an evaluation is not looked at now."""
        if evaluation.status == "blocked":
            return evaluation.reasons[0]
        subset = AssetPartition(SUBSET, evaluation.key.partition)
        trained = evaluation.key.partition and split_grid_key(evaluation.key.partition)[1]
        if subset in self._about_to_change and trained not in self._automation.not_retrained:
            return "its subset is out of date, and is made first"
        sources = sorted(key for key in self._about_to_change if key.asset == RAW)
        return f"{sources[0]} is out of date, and is made first" if sources else None

    def _anew(self, evaluation: PlanStep, models: Sequence[Manifest]) -> Due | str:
        """Return whether an evaluation of models that were evaluated before is made anew."""
        made = self._whole(evaluation.key)
        why = ", ".join(evaluation.reasons)
        if made is None:
            return Due((evaluation,), why, 0)
        if not self._automation.evaluate_again:
            return f"{why}; automation.evaluate_again is off: `smart run` evaluates again"
        unlike = self._unlike_training(made, models)
        if unlike:
            return f"{why}; no model was trained with this {', '.join(unlike)}: `smart run` trains and evaluates again"
        return Due((evaluation,), why, 0)

    def _unlike_training(self, made: Manifest, models: Sequence[Manifest]) -> list[str]:
        """Return the settings in which an evaluation would leave its models' training.

        Its figures would mean little.
        """
        now = desired_state(self._project, AssetPartition(made.asset, made.partition)).parameters
        moved = [name for name, value in now.items() if not _equal(made.parameters.get(name), value)]
        trained = [{**CheckpointParameters.read(model).finetune, **model.parameters} for model in models]
        return [
            name
            for name in moved
            if trained and all(name in record and not _equal(record[name], now[name]) for record in trained)
        ]

    def _checkpoints(self) -> list[Manifest]:
        manifests = (self._whole(key) for key in partitions(self._project, CHECKPOINT))
        return [manifest for manifest in manifests if manifest is not None]

    def _whole(self, key: AssetPartition) -> Manifest | None:
        """Return the newest manifest of a partition, where its files are there."""
        manifest = self._current_state.current(key)
        return manifest if manifest is not None and self._current_state.whole(manifest) else None


def changed_enough(rows: int, total: int, minimum: float) -> bool:
    """Return whether so many changed rows are the minimum share or more. Divided, not multiplied.

    100 * 0.07 is above 7.
    """
    return rows > 0 and rows / total >= minimum


def _equal(first: Any, other: Any) -> bool:
    """Return whether two values are the same JSON."""
    return json_version(first) == json_version(other)
