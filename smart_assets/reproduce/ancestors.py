"""What a subset was made from, by the versions that manifests name: rows, vectors, and what was made of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from smart_assets.assets import (
    evaluation_overlap,
    instance_orderings,
    prompt_embeddings,
    raw_tasks,
    selected_subset,
    task_scores,
)
from smart_assets.assets.evaluation_overlap import FOUND
from smart_assets.assets.step import AssetPartition, parse_input
from smart_assets.core.errors import SmartError
from smart_assets.lineage.history import History, key_of, stored_folder
from smart_assets.store import Manifest, Store


@dataclass(frozen=True, slots=True)
class Ancestors:
    """The manifests behind a subset. What is current by now plays no part: a subset of the past has them too."""

    subset: Manifest
    rows: Mapping[str, Manifest]  # source -> `raw_tasks`
    vectors: Mapping[str, Manifest]  # source -> `prompt_embeddings`; none where nothing looks at a vector
    orderings: Mapping[str, Manifest]  # source -> `instance_orderings`; none where rows are random
    scores: Manifest | None  # `task_scores`; None where budgets need no gains
    overlap: Manifest | None  # `evaluation_overlap`; None where no row was left out
    overlap_explained: bool  # whether what it was made from is rows and vectors of these

    def find(self, key: AssetPartition) -> Manifest | None:
        """Return the manifest of one of them."""
        source = str(key.partition)
        return {
            raw_tasks.NAME: self.rows.get(source),
            prompt_embeddings.NAME: self.vectors.get(source),
            instance_orderings.NAME: self.orderings.get(source),
            task_scores.NAME: self.scores,
            evaluation_overlap.NAME: self.overlap,
            selected_subset.NAME: self.subset,
        }.get(key.asset)


def ancestors_of(store: Store, history: History, subset: Manifest) -> Ancestors:
    """Follow the versions that a subset's manifest names.

    Raises:
        StoreError: a manifest on the way is gone.
        SmartError: scores and orderings were made from two states of a source's vectors.
    """
    inputs = {parse_input(name)[0]: history.input(subset, name) for name in subset.inputs}
    orderings = _of_sources(inputs, instance_orderings.NAME)
    scores = inputs.get(AssetPartition(task_scores.NAME))
    vectors = {
        source: history.input(ordering, str(AssetPartition(prompt_embeddings.NAME, source)))
        for source, ordering in orderings.items()
    }
    if scores is not None:
        vectors |= _vectors_of_scores(history, subset, scores, vectors)
    rows = _of_sources(inputs, raw_tasks.NAME)
    overlap, compared = _overlap_of(store, history, inputs.get(AssetPartition(evaluation_overlap.NAME)), rows, vectors)
    vectors |= compared or {}
    return Ancestors(subset, rows, vectors, orderings, scores, overlap, compared is not None)


def _vectors_of_scores(
    history: History, subset: Manifest, scores: Manifest, known: Mapping[str, Manifest]
) -> dict[str, Manifest]:
    """Return the vectors behind task scores: those behind the orderings, where there are any."""
    vectors: dict[str, Manifest] = {}
    for name, version in scores.inputs.items():
        source = str(parse_input(name)[0].partition)
        vectors[source] = known.get(source) or history.input(scores, name)
        if vectors[source].facets.get("tasks") != version:
            raise SmartError(
                f"the scores and the orderings behind {key_of(subset)} were made of two states of source `{source}`, "
                "and no one state gives this subset: `smart run` brings it up to date"
            )
    return vectors


def _overlap_of(
    store: Store,
    history: History,
    newest: Manifest | None,
    rows: Mapping[str, Manifest],
    known: Mapping[str, Manifest],
) -> tuple[Manifest | None, dict[str, Manifest] | None]:
    """Return the manifest of the rows that were left out, and the vectors that prompts were compared by.

    The same rows may hold evaluation text in several states of the sources: that of the subset's rows is taken where
    there is one. Without it, and without its vectors, there is None in the place of these.
    """
    if newest is None:
        return None, None
    for manifest in history.manifests(newest.asset):
        if manifest.facets.get(FOUND) == newest.facets.get(FOUND):
            vectors = _vectors_of_overlap(store, history, manifest, rows, known)
            if vectors is not None:
                return manifest, vectors
    return newest, None


def _vectors_of_overlap(
    store: Store,
    history: History,
    overlap: Manifest,
    rows: Mapping[str, Manifest],
    known: Mapping[str, Manifest],
) -> dict[str, Manifest] | None:
    """Return the vectors that prompts were compared by; None where the rows, or known vectors, are of another state."""
    by_source: dict[str, Manifest] = {}
    for name, version in overlap.inputs.items():
        key, _ = parse_input(name)
        source = str(key.partition)
        if key.asset == raw_tasks.NAME:
            if source not in rows or rows[source].content_version != version:
                return None
            continue
        vectors = known.get(source) or history.named(name, version)
        if vectors is None or vectors.content_version != version:
            return None
        if source not in known and stored_folder(store, vectors) is None:  # nothing else needs them embedded again
            return None
        by_source[source] = vectors
    return by_source


def _of_sources(inputs: Mapping[AssetPartition, Manifest], asset: str) -> dict[str, Manifest]:
    """Return those of one asset, in the order of the sources."""
    return {str(key.partition): manifest for key, manifest in inputs.items() if key.asset == asset}
