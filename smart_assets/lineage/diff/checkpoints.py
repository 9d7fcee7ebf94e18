"""Two checkpoints side by side: base model, losses and scores, and the subsets that they were trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from smart_assets.assets import eval_results, raw_tasks
from smart_assets.assets.eval_results import CODE_VERSION
from smart_assets.assets.model_records import CheckpointParameters, CheckpointSummary, evaluation_records
from smart_assets.assets.step import AssetPartition, parse_input, seed_folder
from smart_assets.core.errors import StoreError
from smart_assets.core.metrics import Direction, agreed
from smart_assets.lineage.diff.made import MakingDiff, Side, ValueDifference, compare_making
from smart_assets.lineage.diff.references import SUBSET
from smart_assets.lineage.diff.subsets import SubsetDiff, diff_subsets
from smart_assets.lineage.history import history_of, key_of, stored_folder
from smart_assets.store import Manifest, Store
from smart_assets.store.inventory import recorded

EVALUATION = eval_results.NAME
_FIGURES = ("rows", "steps", "response_tokens", "mean_last_losses", "final_loss")
_WEIGHTS = ".safetensors"


@dataclass(frozen=True, slots=True)
class SeedDiff:
    """The fine-tunes of one seed."""

    seed: int
    same_weights: bool | None  # to the bit, by their hashes; None where one has no such seed
    figures: tuple[ValueDifference, ...]  # rows, steps and losses (nats a response token) of both, equal or not


@dataclass(frozen=True, slots=True)
class ScoreDiff:
    """A benchmark's macro mean over tasks, in the mean over seeds; None where it was not measured."""

    benchmark: str
    tasks: str  # all, seen or unseen
    metric: str
    a: float | None
    b: float | None
    direction: Direction  # as the evaluations recorded it


@dataclass(frozen=True, slots=True)
class CheckpointDiff:
    """Two checkpoints side by side."""

    a: Side
    b: Side
    made: MakingDiff
    base_models: ValueDifference | None  # None where it is the same
    seeds: tuple[SeedDiff, ...]
    scores: tuple[ScoreDiff, ...]  # of the evaluations made from these very versions
    subset: SubsetDiff | None  # None where a subset's manifest is gone
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return self.made.equal and self.a.version == self.b.version


def diff_checkpoints(store: Store, a: Manifest, b: Manifest) -> CheckpointDiff:
    """Compare two versions of `finetuned_checkpoint`; losses and hashes of weights come from their manifests alone.

    Raises:
        StoreError: a file is there and cannot be read.
    """
    sides = [Side.of(checkpoint, stored_folder(store, checkpoint) is None) for checkpoint in (a, b)]
    evaluations = [evaluation_of(store, checkpoint) for checkpoint in (a, b)]
    base_a, base_b = CheckpointParameters.read(a).base_model, CheckpointParameters.read(b).base_model
    subset, notes = _subset_diff(store, a, b)
    return CheckpointDiff(
        sides[0],
        sides[1],
        compare_making(a, b),
        None if base_a == base_b else ValueDifference("base model", _base_model(a), _base_model(b)),
        tuple(_seeds(a, b)),
        tuple(_scores(*evaluations)),
        subset,
        (*notes, *_evaluation_notes(sides, evaluations)),
    )


def evaluation_of(store: Store, checkpoint: Manifest) -> Manifest | None:
    """Return the newest `eval_results` that measured this very version; its manifest holds the macro means."""
    key = str(key_of(checkpoint))
    history = store.history(EVALUATION, checkpoint.partition)
    return next(
        (evaluation for evaluation in history if evaluation.inputs.get(key) == checkpoint.content_version), None
    )


def _subset_diff(store: Store, a: Manifest, b: Manifest) -> tuple[SubsetDiff | None, list[str]]:
    try:
        history = history_of(recorded(store, {SUBSET}))
        subsets = [
            history.input(checkpoint, str(AssetPartition(SUBSET, checkpoint.partition))) for checkpoint in (a, b)
        ]
    except StoreError as error:
        return None, [f"the subsets cannot be compared: {error}"]
    return diff_subsets(store, *subsets), []


def _base_model(manifest: Manifest) -> str:
    """Return its name when it was trained, with what pins it."""
    results = list(CheckpointSummary.read(manifest).seeds.values())
    named = results[0].base_model.reference if results else None
    pinned = CheckpointParameters.read(manifest).base_model
    return pinned if named is None or pinned.startswith(named) else f"{named} ({pinned})"


def _seeds(a: Manifest, b: Manifest) -> Iterator[SeedDiff]:
    results = CheckpointSummary.read(a).seeds, CheckpointSummary.read(b).seeds
    for seed in sorted({*results[0], *results[1]}):
        first, second = (trained.get(seed) for trained in results)
        figures = (
            ValueDifference(name, first and getattr(first, name), second and getattr(second, name)) for name in _FIGURES
        )
        weights = [_weights(checkpoint, seed) for checkpoint in (a, b)]
        same = weights[0] == weights[1] if all(weights) else None
        yield SeedDiff(seed, same, tuple(figure for figure in figures if (figure.a, figure.b) != (None, None)))


def _weights(manifest: Manifest, seed: int) -> dict[str, str]:
    return {
        file.path: file.sha256
        for file in manifest.files
        if file.path.startswith(f"{seed_folder(seed)}/") and file.path.endswith(_WEIGHTS)
    }


def _scores(a: Manifest | None, b: Manifest | None) -> Iterator[ScoreDiff]:
    # Results of other code may have another form, and would not compare.
    sides = [side if side is not None and side.code_version == CODE_VERSION else None for side in (a, b)]
    means = [_macro_means(side) if side is not None else {} for side in sides]
    results = [result for side in sides if side is not None for result in evaluation_records(side).values()]
    for name in sorted({*means[0], *means[1]}):
        benchmark, _, metric = name
        declared = {result.direction(benchmark, metric) for result in results} - {Direction.UNKNOWN}
        yield ScoreDiff(*name, means[0].get(name), means[1].get(name), agreed(declared))


def _macro_means(evaluation: Manifest) -> dict[tuple[str, str, str], float]:
    """Return the means over seeds, by benchmark, group of tasks and metric."""
    by_name: dict[tuple[str, str, str], list[float]] = {}
    for result in evaluation_records(evaluation).values():
        for benchmark, groups in result.macro_means.items():
            for group, metrics in groups.items():
                for metric, value in metrics.items():
                    by_name.setdefault((benchmark, group, metric), []).append(value)
    return {name: fmean(values) for name, values in by_name.items()}


def _evaluation_notes(sides: list[Side], evaluations: list[Manifest | None]) -> Iterator[str]:
    for side, evaluation in zip(sides, evaluations, strict=True):
        if evaluation is None:
            yield f"{side.partition}@{side.version[:12]} has no eval_results"
        elif evaluation.code_version != CODE_VERSION:
            version = evaluation.code_version
            yield f"{side.partition}@{side.version[:12]} was evaluated by other code (version {version})"
    a, b = evaluations
    if a is not None and b is not None and not _measured_alike(a, b):
        yield "the two were evaluated with other settings or on other held-out rows: their scores do not compare"
    if a is not None and b is not None and 1 in (len(evaluation_records(a)), len(evaluation_records(b))):
        yield "one training on a side: another seed may score otherwise, so the scores tell nothing of the recipes"


def _measured_alike(a: Manifest, b: Manifest) -> bool:
    rows = [
        {name: v for name, v in evaluation.inputs.items() if parse_input(name)[0].asset == raw_tasks.NAME}
        for evaluation in (a, b)
    ]
    return a.parameters == b.parameters and rows[0] == rows[1] and a.code_version == b.code_version
