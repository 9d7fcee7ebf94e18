"""What each asset keeps in its manifests, beside the circumstances that all of them record.

Steps write these records, and everybody who asks a manifest reads it through them. Captions for people are made where
they are shown.
"""

from typing import Annotated, Any

from smart_assets.store.records import ManifestRecord, RecordModel, kept_as


class RawTasksParameters(ManifestRecord):
    """The settings of a source, as its kind declares them, and of its split."""

    PART = "parameters"

    source: dict[str, Any]
    validation: dict[str, Any]
    forgotten: list[str] | None = None  # keys of tombstones that concern the source
    names: str | None = None  # version of what files' names say beyond tasks by their stems; None: nothing


class RawTasksSummary(ManifestRecord):
    """How many rows a source gave."""

    rows: int
    training_rows: Annotated[int, kept_as("training rows")]
    validation_rows: Annotated[int, kept_as("validation rows")]
    tasks: int
    templates: int
    rejected_rows: Annotated[int, kept_as("rejected rows")]
    tasks_without_rows: Annotated[list[str], kept_as("tasks without rows")]
    not_read: Annotated[dict[str, int] | None, kept_as("rows with a value that is not read")] = None
    # by what is not read, some of many; None: it was read by a version that did not count them


class RawTasksCost(ManifestRecord):
    """How much of a source was read. None: a version made it that read everything, always."""

    PART = "made"

    files_read: Annotated[int | None, kept_as("files read")] = None
    files_reused: Annotated[int | None, kept_as("files reused")] = None
    rows_read: Annotated[int | None, kept_as("rows read")] = None


class EmbeddingParameters(ManifestRecord):
    """The encoder, by the version of its content."""

    PART = "parameters"

    encoder: str


class EmbeddingSummary(ManifestRecord):
    """How many vectors a source has."""

    rows: int
    distinct_prompts: Annotated[int, kept_as("distinct prompts")]
    dimensions: int
    tasks: int
    encoder: str
    precision: str


class EmbeddingCost(ManifestRecord):
    """How many prompts were embedded, and how many had a vector already."""

    PART = "made"

    prompts_embedded: Annotated[int, kept_as("prompts embedded")]
    prompts_reused: Annotated[int, kept_as("prompts reused")]
    embedding_seconds: Annotated[float | None, kept_as("embedding seconds")] = None


class IndexSummary(ManifestRecord):
    """What the search for near duplicates found."""

    rows: int
    dimensions: int
    index: str
    near_duplicate_pairs: Annotated[int, kept_as("near-duplicate pairs")]
    all_pairs_found: Annotated[bool, kept_as("all pairs found")]
    threshold: float  # cosine
    neighbours_searched: Annotated[int, kept_as("neighbours searched")]


class OrderingParameters(ManifestRecord):
    """What decides orderings beside the vectors."""

    PART = "parameters"

    objectives: list[str]
    engine: str
    approximate: list[Any] | None = None  # group size from which on, algorithm, its version; None: all are exact


class OrderingSummary(ManifestRecord):
    """How many groups were ordered."""

    groups: int
    objectives: list[str]
    rows: int
    largest_group: Annotated[int, kept_as("largest group")]
    approximate_orderings: Annotated[int, kept_as("approximate orderings")]


class OrderingCost(ManifestRecord):
    """How many groups were ordered anew."""

    PART = "made"

    groups_ordered: Annotated[int, kept_as("groups ordered")]
    groups_reused: Annotated[int, kept_as("groups reused")]
    rows_ordered: Annotated[int | None, kept_as("rows ordered")] = None


class OverlapParameters(ManifestRecord):
    """What decides which rows hold evaluation text; the evaluation sets stand beside it."""

    PART = "parameters"

    contamination: dict[str, Any]
    near_duplicate: float
    encoder: str | None = None  # None: no vectors were compared


class LongPrompts(RecordModel):
    """Prompts that the encoder does not read to their ends."""

    training_rows: Annotated[int, kept_as("training rows")]
    evaluation_rows: Annotated[dict[str, int], kept_as("evaluation rows")]  # by benchmark


class OverlapSummary(ManifestRecord):
    """How many training rows hold evaluation text, and what could not be told."""

    training_rows: Annotated[int, kept_as("training rows")]
    evaluation_rows: Annotated[dict[str, int], kept_as("evaluation rows")]  # by benchmark
    rows_with_evaluation_text: Annotated[int, kept_as("rows with evaluation text")]
    rows_by_kind: Annotated[dict[str, int], kept_as("rows by kind")]
    rows_by_benchmark: Annotated[dict[str, int], kept_as("rows by benchmark")]
    rows_undecided: Annotated[dict[str, int] | None, kept_as("rows undecided, by task")] = None
    untold_by_ngrams: Annotated[
        dict[str, dict[str, int]] | None, kept_as("evaluation rows that n-grams cannot tell")
    ] = None  # by cause and benchmark
    long_prompts: Annotated[LongPrompts | None, kept_as("prompts longer than the encoder reads")] = None


class OverlapCost(ManifestRecord):
    """How many evaluation prompts were embedded."""

    PART = "made"

    prompts_embedded: Annotated[int | None, kept_as("prompts embedded")] = None


class ObjectiveFigures(RecordModel):
    """The weights of all tasks at temperature 1, by one objective."""

    effective_tasks: Annotated[float, kept_as("effective tasks")]
    largest_weight: Annotated[float, kept_as("largest weight")]
    smallest_weight: Annotated[float, kept_as("smallest weight")]
    negative_gains: Annotated[int, kept_as("negative gains")]
    proposed_max_tasks: Annotated[int | None, kept_as("proposed max tasks")] = None


class TaskScoresSummary(ManifestRecord):
    """What the objectives say of the tasks."""

    tasks: int
    objectives: dict[str, ObjectiveFigures]


class SubsetParameters(ManifestRecord):
    """What decides which rows are taken."""

    PART = "parameters"

    budget: int
    recipe: dict[str, Any]
    exclude: bool  # rows with evaluation text
    unseen_tasks: list[str] | None = None  # None: there are none
    seeds: list[int] | None = None  # None: the rows are the same for all
    texts_once: bool | None = None  # None: no text stands under several tasks, or all of them may be taken


class SubsetSummary(ManifestRecord):
    """Figures of one row set: the mean of the row sets where each seed has its own."""

    budget: int
    row_sets: Annotated[int, kept_as("row sets")]
    tasks: int
    effective_tasks: Annotated[float, kept_as("effective tasks")]
    largest_task_budget: Annotated[int, kept_as("largest task budget")]
    rows_left_out: Annotated[int | None, kept_as("rows left out for evaluation text")] = None
    left_out_by_rule: Annotated[dict[str, int] | None, kept_as("left out by rule")] = None
    proposed_max_tasks: Annotated[int | None, kept_as("max tasks (auto)")] = None
    repeated_texts: Annotated[dict[str, int] | None, kept_as("texts under several tasks")] = None  # in the pool
    repeats_replaced: Annotated[int | None, kept_as("rows replaced, whose text another task gives")] = None
    exhausted_tasks: Annotated[list[str] | None, kept_as("tasks without another row for a repeated text")] = None


class SubsetCost(ManifestRecord):
    """What was seen on the way."""

    PART = "made"

    refused_chats: Annotated[dict[str, int] | None, kept_as("refused by the chat template")] = None  # by reason


class ReportSummary(ManifestRecord):
    """What the page shows, and the comparisons that were computed for it."""

    tasks: int
    mixtures: int
    evaluated_models: Annotated[int, kept_as("evaluated models")]
    bytes: int
    comparisons: list[dict[str, Any]]  # of each benchmark with rows, what `comparison.record` makes of response losses
