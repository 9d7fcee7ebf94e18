"""Deriving a subset again, and where asked its rows, vectors and weights, and saying whether it is the stored one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from smart_assets.assets import finetuned_checkpoint, prompt_embeddings, raw_tasks
from smart_assets.assets.checks.artifact_checks import GAIN_TOLERANCE
from smart_assets.assets.model_records import CheckpointSummary, seeds_of
from smart_assets.assets.step import AssetPartition, RunContext, seed_folder
from smart_assets.core.errors import UpstreamMissingError
from smart_assets.lineage.history import key_of, read_history, stored_folder
from smart_assets.planning.graph import closure
from smart_assets.reproduce.agreement import RowAgreement, VectorAgreement, rows_agree, vectors_agree
from smart_assets.reproduce.ancestors import Ancestors, ancestors_of
from smart_assets.reproduce.derive import derive, link_in
from smart_assets.reproduce.recorded import (
    OVERLAP,
    changed_since,
    overlap_is_given,
    project_as_recorded,
    require_recorded_settings,
    trained_as_recorded,
)
from smart_assets.reproduce.steps import StepComparison, compare_steps
from smart_assets.reproduce.subset import SubsetComparison, compare_subsets
from smart_assets.reproduce.weights import WeightComparison, compare_weights
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.records import Circumstances
from smart_assets.tasks.tombstones import read_tombstones, write_record

CHECKPOINT = finetuned_checkpoint.NAME


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is done again."""

    from_raw: bool = False  # reads and embeds the sources again, too
    train: bool = False  # trains again, too
    seed: int | None = None  # trains this one alone


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of it."""

    partition: str
    subset: SubsetComparison
    steps: tuple[StepComparison, ...] = ()  # what it was made from, where it differs
    rows: tuple[RowAgreement, ...] = ()  # of each source, from the raw files
    vectors: tuple[VectorAgreement, ...] = ()
    weights: tuple[WeightComparison, ...] = ()  # of each seed that was trained again
    notes: tuple[str, ...] = ()  # what is to be known besides
    embedded: bool = False  # whether prompts were embedded again

    @property
    def subset_holds(self) -> bool:
        """Whether the recipe gives the stored subset: its rows, places and budgets, and its gains within rounding.

        Vectors embedded again differ in their last digits with the batches that they were computed in, and gains with
        them: where the rows are the same, how far gains are apart does not count then.
        """
        return self.subset.same_rows and (self.embedded or self.subset.figures_apart <= GAIN_TOLERANCE)

    @property
    def holds(self) -> bool:
        """Whether the subset holds, and all weights that were trained again are equal to the bit."""
        return self.subset_holds and all(comparison.identical for comparison in self.weights)


def reproduce(project: Project, subset: Manifest, folder: Path, extent: Extent, run: RunContext) -> Reproduction:
    """Derive a subset again in an empty store, from the rows and vectors that it was made from.

    Settings are those that the manifests record, whatever `smart.yaml` wants by now. Orderings, scores and budgets are
    made anew by the steps themselves; nothing in the project's own store changes.

    Args:
        project: whose store holds the subset.
        subset: the manifest of any version of a `selected_subset`.
        folder: the empty store.
        extent: how much is done again.
        run: what the steps are given.

    Raises:
        SmartError: what it was made from is gone, damaged, or was made with settings that cannot be had any more.
    """
    ancestors = ancestors_of(project.store, read_history(project), subset)
    past = project_as_recorded(project, ancestors, folder)
    for record in read_tombstones(project.store).records:  # what is forgotten is not read again, here neither
        write_record(past.store, record)
    why_given = overlap_is_given(past, ancestors)
    given = () if extent.from_raw else _given(project, ancestors)
    if why_given and ancestors.overlap is not None:
        given = (*given, ancestors.overlap)
    again = _Again(project, past, ancestors, run, given)
    training = _Training.of(again, extent) if extent.train else None
    notes = [*changed_since(project, subset), *again.require_settings(), *filter(None, [why_given])]
    if not extent.from_raw:
        notes += again.collected()
    notes += training.require_settings() if training else ()
    link_in(project.store, past.store, again.given, run.log)
    made = derive(past, again.target, again.given_keys, run)
    run.log("comparing the subset")
    compared = compare_subsets(project.store, subset, past.store, made[again.target])
    rows, vectors = again.agreement() if extent.from_raw else ((), ())
    reproduction = Reproduction(
        str(subset.partition),
        compared,
        rows=rows,
        vectors=vectors,
        notes=tuple(notes),
        embedded=any(key.asset == prompt_embeddings.NAME for key in made),
    )
    if not reproduction.subset_holds:
        notes += ["nothing was trained again: another subset gives other weights"] if training else []
        return replace(reproduction, steps=compare_steps(project.store, ancestors, past.store), notes=tuple(notes))
    if training:
        weights, circumstances = training.compare()
        return replace(reproduction, weights=weights, notes=(*notes, *circumstances))
    return reproduction


def _given(project: Project, ancestors: Ancestors) -> tuple[Manifest, ...]:
    """Return the stored rows, and the vectors that were not collected.

    A subset's rows are kept, their vectors are not.
    """
    vectors = (
        manifest for manifest in ancestors.vectors.values() if stored_folder(project.store, manifest) is not None
    )
    return (*ancestors.rows.values(), *vectors)


@dataclass(frozen=True, slots=True)
class _Again:
    """One reproduction: the project, the project as it was with its empty store, and what is given to it."""

    project: Project
    past: Project
    ancestors: Ancestors
    run: RunContext
    given: tuple[Manifest, ...]

    @property
    def target(self) -> AssetPartition:
        return key_of(self.ancestors.subset)

    @property
    def given_keys(self) -> frozenset[AssetPartition]:
        keys = frozenset(map(key_of, self.given))
        # Where no row was left out, the subset is made without looking for those that hold evaluation text.
        return keys if self.ancestors.overlap is not None else keys | {OVERLAP}

    def collected(self) -> list[str]:
        """Return which vectors are not given though they were made from."""
        return [
            f"the vectors of source `{vectors.partition}` are not in the store any more: its prompts are embedded again"
            for vectors in self.ancestors.vectors.values()
            if vectors not in self.given
        ]

    def require_settings(self) -> tuple[str, ...]:
        """Refuse what cannot be made as it was, before anything is made."""
        keys = closure(self.past, frozenset({self.target}), self.given_keys)
        manifests = {key: self.ancestors.find(key) for key in sorted(keys)}
        return require_recorded_settings(
            self.past, {key: manifest for key, manifest in manifests.items() if manifest is not None}
        )

    def agreement(self) -> tuple[tuple[RowAgreement, ...], tuple[VectorAgreement, ...]]:
        """Return how far what was read and embedded again is what is stored; what is stored no more is left out."""
        self.run.log("comparing rows and vectors")
        rows = [rows_agree(*folders) for folders in self._folders(raw_tasks.NAME)]
        vectors = [vectors_agree(*folders) for folders in self._folders(prompt_embeddings.NAME)]
        return tuple(rows), tuple(vectors)

    def _folders(self, asset: str) -> Iterator[tuple[str, Path, Path]]:
        """Return of each source its name, and the folders of the stored artifact and of the one made again."""
        for stored in (self.ancestors.rows if asset == raw_tasks.NAME else self.ancestors.vectors).values():
            made = self.past.store.current(asset, stored.partition)
            if made is not None and self.project.store.is_whole(stored):
                yield str(stored.partition), self.project.store.artifact(stored), self.past.store.artifact(made)


@dataclass(frozen=True, slots=True)
class _Training:
    """The training again of a checkpoint that was made from the subset."""

    again: _Again
    stored: Manifest
    past: Project  # with the fine-tune of then

    @classmethod
    def of(cls, again: _Again, extent: Extent) -> Self:
        """Return the newest checkpoint of the subset.

        Raises:
            UpstreamMissingError: none was trained on it, or not with that seed.
        """
        subset = again.ancestors.subset
        history = again.project.store.history(CHECKPOINT, subset.partition)
        stored = next(
            (
                checkpoint
                for checkpoint in history
                if checkpoint.inputs.get(str(again.target)) == subset.content_version
            ),
            None,
        )
        if stored is None:
            raise UpstreamMissingError(
                f"no {CHECKPOINT}[{subset.partition}] was trained on version {subset.content_version[:12]} of its "
                "subset: leave out --train, or name another version"
            )
        seeds = sorted(seeds_of(stored))
        if extent.seed is not None and extent.seed not in seeds:
            raise UpstreamMissingError(f"{key_of(stored)} has no seed {extent.seed}; its seeds are {seeds}")
        wanted = seeds if extent.seed is None else [extent.seed]
        return cls(again, stored, trained_as_recorded(again.past, stored, wanted))

    def require_settings(self) -> tuple[str, ...]:
        """Refuse what cannot be trained as it was."""
        return require_recorded_settings(self.past, {key_of(self.stored): self.stored})

    def compare(self) -> tuple[tuple[WeightComparison, ...], tuple[str, ...]]:
        """Train, and compare the weights of each seed; besides, in what the two trainings differ."""
        rows = {AssetPartition(raw_tasks.NAME, source) for source in self.again.ancestors.rows}
        key, run = key_of(self.stored), self.again.run
        trained = derive(self.past, key, frozenset({self.again.target, *rows}), run)[key]
        run.log("comparing the weights")
        stored, made = self.again.project.store.artifact(self.stored), self.past.store.artifact(trained)
        weights = [
            compare_weights(seed, stored / seed_folder(seed), made / seed_folder(seed))
            for seed in self.past.settings.finetune.seeds
        ]
        return tuple(weights), tuple(self._circumstances(trained))

    def _circumstances(self, trained: Manifest) -> Iterator[str]:
        """Return what may have made the weights others, besides chance: device, precision, libraries."""
        stored = CheckpointSummary.read(self.stored).seeds
        for seed, now in CheckpointSummary.read(trained).seeds.items():
            then = stored[seed]
            pairs = {
                "device": (then.device, now.device),
                "precision": (then.precision, now.precision),
                "processes": (then.processes, now.processes),
            }
            for name, (before, after) in pairs.items():
                if before != after:
                    yield f"seed {seed}: {name} was {before}, here it is {after}"
        packages = (Circumstances.read(manifest).packages for manifest in (self.stored, trained))
        then, now = ({name: versions.get(name) for name in ("torch", "transformers")} for versions in packages)
        yield from (f"{name} was {then[name]}, here it is {now[name]}" for name in then if then[name] != now[name])
