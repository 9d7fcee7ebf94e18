"""`evaluation_overlap`: the training rows that hold evaluation text, and the evaluation rows that it is of.

Whatever a model is asked must not be what it was taught: subsets leave these rows out. Four rules find them, since each
sees what the others miss: the same text, word n-grams in common, near-duplicate prompts by MinHash, and prompts whose
vectors have nearly the same direction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smart_assets.assets import prompt_embeddings
from smart_assets.assets.parquet import write_table
from smart_assets.assets.reading.evaluation_rows import (
    EvaluationRows,
    SourceRows,
    numbered,
    outside_state,
    read_evaluation_rows,
    read_sources,
)
from smart_assets.assets.reading.evaluation_vectors import embed_outside
from smart_assets.assets.reading.overlap_sentences import mostly_found, same_document_rows
from smart_assets.assets.reading.rows import raw_task_inputs
from smart_assets.assets.reading.vector_overlap import ComparedVectors
from smart_assets.assets.records import (
    EmbeddingParameters,
    FoundRows,
    OverlapCost,
    OverlapParameters,
    OverlapSummary,
)
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.contamination.exact import ExactTexts
from smart_assets.contamination.matches import Matches
from smart_assets.contamination.ngram_index import NgramIndex
from smart_assets.contamination.ngram_overlap import NgramFindings, NgramSearch
from smart_assets.contamination.ngrams import NgramHasher
from smart_assets.contamination.settings import Contamination
from smart_assets.contamination.templates import EvaluationGroups
from smart_assets.core.progress import Log, Progress
from smart_assets.embedding.windows import read_prompt_vectors
from smart_assets.settings import Project
from smart_assets.store.hashing import json_version
from smart_assets.tasks.near_duplicates import Sketcher, nearest_prompts

NAME = "evaluation_overlap"
CODE_VERSION = "3"
FOUND = "found"
"""The facet of which rows are found by which rules: the last digit of a cosine is no part of it."""
KINDS = ("exact", "ngram", "near_duplicate", "similarity")
OVERLAPS = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "source", "task", "template", "kind", "benchmark")),
        ("evaluation_id", pa.string()),  # of a local set: FILE:LINE
        ("evaluation_task", pa.string()),
        ("score", pa.float64()),  # 1; share of the evaluation row's n-grams; Jaccard similarity; cosine
    ]
)
UNSEARCHED = pa.schema([(name, pa.string()) for name in ("benchmark", "evaluation_id", "evaluation_task", "why")])
SAME_DOCUMENT = "same_document"
"""The kind of a training row whose prompt is near an evaluation prompt as a whole and ends otherwise: it is kept."""
SHORT, TEMPLATE = "fewer words than an n-gram", "all its n-grams are common to its own task or template"


def desired(project: Project, partition: str | None) -> DesiredState:
    """Return what it is made from: rows, vectors where these are compared, and evaluation sets outside the store."""
    contamination = project.settings.contamination
    evaluation_sets, outside = outside_state(project)
    inputs = [*raw_task_inputs(project)]
    if contamination.similarity is not None:
        inputs += [Input(AssetPartition(prompt_embeddings.NAME, source)) for source in project.settings.sources]
    vectors = None if contamination.similarity is None else EmbeddingParameters.of(project.settings.embedding)
    parameters = OverlapParameters(
        contamination=contamination.parameters(),
        near_duplicate=project.settings.validation.similarity,
        encoder=vectors and vectors.encoder,
        windows=vectors and vectors.windows,
    )
    kept = {**evaluation_sets, **parameters.as_kept()}
    return DesiredState(AssetPartition(NAME), tuple(inputs), kept, CODE_VERSION, outside)


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """Write `overlaps.parquet` (OVERLAPS): of each training row, kind and benchmark the evaluation row most like it.

    Attaches `vectors` of evaluation prompts from outside the store.
    """
    settings = project.settings
    sources = read_sources(project, inputs)
    evaluation = read_evaluation_rows(project, sources, run.log)
    scratch = out.folder / "scratch"
    scratch.mkdir()
    texts = _read_texts(sources, evaluation, settings.contamination, scratch, run.log)
    alike = {"near_duplicate": _of_signatures(sources, evaluation, settings.validation.similarity)}
    long, documents = (None, None), dict[str, Matches]()
    embedded, recorded, similarity = 0, _nothing, settings.contamination.similarity
    if similarity is not None:
        outside = embed_outside(project, NAME, evaluation.outside, out, run)
        embedded, recorded = outside.embedded, outside.recorded
        vectors = [read_prompt_vectors(inputs.folder(prompt_embeddings.NAME, source.name)) for source in sources]
        compared = ComparedVectors(sources, vectors, evaluation, outside.vectors)
        long = compared.long_prompts()
        alike["similarity"], documents[SAME_DOCUMENT] = compared.matches(similarity)
    overlapping, undecided, unsearched = texts.judged(alike, settings.contamination)
    overlaps = _table(overlapping, sources, evaluation)
    write_table(overlaps, out.content / "overlaps.parquet")
    left = _besides(overlaps, _table(undecided, sources, evaluation))
    write_table(left, out.content / "undecided.parquet")
    write_table(unsearched, out.content / "unsearched.parquet")
    same_documents = _besides(overlaps, _table(documents, sources, evaluation))
    write_table(same_documents, out.content / "same_documents.parquet")
    compared = sum(int(source.train.sum()) for source in sources)
    summary = OverlapSummary(
        training_rows=compared,
        evaluation_rows={name: stop - start for name, start, stop in evaluation.benchmarks},
        rows_with_evaluation_text=pc.count_distinct(overlaps["id"]).as_py(),
        rows_by_kind=by_kind(overlaps),
        rows_by_benchmark=_by_benchmark(overlaps, evaluation),
        rows_undecided=_rows_by_task(left),
        untold_by_ngrams=_untold_by_cause(unsearched),
        long_prompts=long[0],
        read_in_part=long[1],
        same_documents=_rows_by_task(same_documents) if documents else None,
        rows_by_task=_found_by_task(overlaps, sources),
    )
    for line in [*mostly_found(summary), *same_document_rows(summary)]:
        run.log(line)
    return StepResult(
        summary=summary.as_kept(),
        facets={
            FOUND: json_version(sorted(set(zip(*overlaps.select(["id", "kind"]).to_pydict().values(), strict=True))))
        },
        cost=OverlapCost(prompts_embedded=embedded).as_kept(),
        recorded=recorded,
    )


def _nothing() -> None:
    pass


def by_kind(overlaps: pa.Table) -> dict[str, int]:
    """Return how many training rows each rule found; a row may be found by several."""
    return {kind: pc.count_distinct(overlaps.filter(pc.equal(overlaps["kind"], kind))["id"]).as_py() for kind in KINDS}


def _by_benchmark(overlaps: pa.Table, evaluation: EvaluationRows) -> dict[str, int]:
    return {
        name: pc.count_distinct(overlaps.filter(pc.equal(overlaps["benchmark"], name))["id"]).as_py()
        for name, _, _ in evaluation.benchmarks
    }


def _besides(overlaps: pa.Table, pairs: pa.Table) -> pa.Table:
    """Return the pairs of rows that are not found anyway."""
    return pairs.filter(pc.invert(pc.is_in(pairs["id"], overlaps["id"].combine_chunks())))


def _rows_by_task(pairs: pa.Table) -> dict[str, int]:
    return _counts(pairs.group_by(["id", "task"]).aggregate([])["task"])


def _found_by_task(overlaps: pa.Table, sources: Sequence[SourceRows]) -> dict[str, dict[str, FoundRows]]:
    """Return the rows found of each source and task, those with none left out."""
    by_source: dict[str, dict[str, FoundRows]] = {}
    for source in sources:
        training = _counts(source.rows["task"].filter(pa.array(source.train)))
        own = overlaps.filter(pc.equal(overlaps["source"], source.name))
        for task in sorted(pc.unique(own["task"]).to_pylist()):
            pairs = own.filter(pc.equal(own["task"], task))
            rows = pc.count_distinct(pairs["id"]).as_py()
            by_source.setdefault(source.name, {})[task] = FoundRows(
                training_rows=training[task], rows=rows, rows_by_kind={k: n for k, n in by_kind(pairs).items() if n}
            )
    return by_source


def _untold_by_cause(unsearched: pa.Table) -> dict[str, dict[str, int]]:
    """Return how many evaluation rows n-grams cannot tell, by cause and benchmark."""
    causes = {why: unsearched.filter(pc.equal(unsearched["why"], why)) for why in (SHORT, TEMPLATE)}
    return {why: _counts(rows["benchmark"]) for why, rows in causes.items()}


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    return {count["values"]: count["counts"] for count in pc.value_counts(values).to_pylist()}


def _starts(sources: Sequence[SourceRows]) -> list[int]:
    """Return the place of each source's first row among all rows, and of the one after the last."""
    return [0, *accumulate(source.rows.num_rows for source in sources)]


@dataclass(frozen=True)
class _Texts:
    """All rows, as their texts were read once."""

    same: Matches
    search: NgramSearch
    groups: EvaluationGroups
    train: NDArray[np.bool_]  # (n,) of all rows
    evaluation: EvaluationRows

    def judged(
        self, alike: Mapping[str, Matches], rule: Contamination
    ) -> tuple[dict[str, Matches], dict[str, Matches], pa.Table]:
        """Return what is found and what is left undecided, by kind; and the rows not looked for, as UNSEARCHED.

        Prompts that are alike by their template alone are undecided.
        """
        ngrams = self.search.findings(self.groups, rule.template_share, rule.share, self.train)
        overlapping, undecided = {"exact": self.same, "ngram": ngrams.overlapping}, {"ngram": ngrams.undecided}
        for kind, pairs in alike.items():
            template = self.search.by_template(pairs, self.groups, rule.template_share)
            overlapping[kind], undecided[kind] = pairs.only(~template), pairs.only(template)
        return overlapping, undecided, _unsearched(ngrams, self.evaluation)


def _read_texts(
    sources: Sequence[SourceRows], evaluation: EvaluationRows, rule: Contamination, scratch: Path, log: Log
) -> _Texts:
    """Find rows of the same text, and keep the n-grams of all rows in a folder. Training texts are read once."""
    exact = ExactTexts(evaluation.numbers)
    for texts in evaluation.texts():
        exact.add(texts.prompts, texts.responses)
    index = NgramIndex.of(NgramHasher(rule.ngram), ((texts.whole(), texts.prompts) for texts in evaluation.texts()))
    search, same, start = NgramSearch(index, scratch), list[Matches](), 0
    groups, of_evaluation = _groups(sources, evaluation)
    progress = Progress("comparing with evaluation texts", log)
    for source in sources:
        for texts in source.texts():
            search.add(texts.whole(), groups[start : start + len(texts.prompts)])
            same.append(exact.matches(texts.prompts, texts.responses).moved(start))
            start += len(texts.prompts)
            progress.at(start, start / len(groups))
    for texts in EvaluationRows(evaluation.outside, 0).texts():
        search.add(texts.whole(), groups[start : start + len(texts.prompts)])
        start += len(texts.prompts)
    train = np.concatenate([*(source.train for source in sources), np.zeros(evaluation.outside.num_rows, np.bool_)])
    every = Matches.joined(same)
    return _Texts(every.only(train[every.rows]), search, of_evaluation, train, evaluation)


def _groups(sources: Sequence[SourceRows], evaluation: EvaluationRows) -> tuple[NDArray[np.int64], EvaluationGroups]:
    """Return the number of the task and template of all rows, those from outside last; and of the evaluation rows."""
    parts = [source.groups for source in sources] + [numbered(evaluation.outside, ["benchmark", "task"])]
    firsts = [*accumulate((int(part.max(initial=-1)) + 1 for part in parts), initial=0)]
    moved = [part + first for part, first in zip(parts, firsts, strict=False)]
    held_out = [part[~source.train] for part, source in zip(moved, sources, strict=False)]
    evaluation_groups = np.concatenate([*held_out, moved[-1]])
    prompts = numbered(evaluation.rows, ["prompt_hash"])
    first = np.unique(evaluation_groups * len(evaluation_groups) + prompts, return_index=True)[1]
    named = np.zeros(firsts[-1], np.bool_)
    for source, part in zip(sources, moved, strict=False):
        named[part[source.named]] = True
    return np.concatenate(moved), EvaluationGroups(
        evaluation_groups, ~np.isin(np.arange(len(evaluation_groups)), first), named
    )


def _of_signatures(sources: Sequence[SourceRows], evaluation: EvaluationRows, similarity: float) -> Matches:
    """Return rows whose prompts are near duplicates of evaluation prompts. Within a source the split leaves none."""
    prompts = evaluation.outside["prompt"].to_pylist()
    outside = [Sketcher().signatures(prompts)] if prompts else []
    theirs = np.concatenate([*(source.signatures()[~source.train] for source in sources), *outside])
    parts: list[Matches] = []
    for source, start in zip(sources, _starts(sources), strict=False):
        ours = source.signatures()[source.train]
        for _, first, stop in evaluation.benchmarks:
            rows, scores = nearest_prompts(ours, theirs[first:stop], similarity)
            parts.append(Matches.nearest(np.flatnonzero(source.train) + start, rows, scores).moved(0, first))
    return Matches.joined(parts)


def _table(
    matches_by_kind: Mapping[str, Matches], sources: Sequence[SourceRows], evaluation: EvaluationRows
) -> pa.Table:
    """Return the pairs by kind as OVERLAPS, of each row, kind and benchmark the best one."""
    rows = pa.concat_tables(
        source.rows.select(["id", "task", "template"]).append_column(
            "source", pa.array([source.name] * source.rows.num_rows, pa.string())
        )
        for source in sources
    )
    tables = [OVERLAPS.empty_table()]
    for kind, matches in matches_by_kind.items():
        best = matches.best(evaluation.numbers)
        ours, theirs = rows.take(pa.array(best.rows)), evaluation.rows.take(pa.array(best.evaluation))
        columns = {name: ours[name] for name in ("id", "source", "task", "template")} | {
            "kind": pa.array([kind] * len(best.rows), pa.string()),
            "benchmark": theirs["benchmark"],
            "evaluation_id": theirs["id"],
            "evaluation_task": theirs["task"],
            "score": pa.array(best.scores),
        }
        tables.append(pa.table(columns, OVERLAPS))
    order = [(name, "ascending") for name in ("source", "id", "kind", "benchmark")]
    return pa.concat_tables(tables).sort_by(order)


def _unsearched(ngrams: NgramFindings, evaluation: EvaluationRows) -> pa.Table:
    """Return the evaluation rows of which n-grams tell nothing, as UNSEARCHED."""
    short = ngrams.ngrams == 0
    blind = np.flatnonzero(ngrams.telling == 0)
    rows = evaluation.rows.take(pa.array(blind))
    why = pa.array(np.where(short[blind], SHORT, TEMPLATE), pa.string())
    columns = [rows["benchmark"], rows["id"], rows["task"], why]
    return pa.table(columns, UNSEARCHED)
