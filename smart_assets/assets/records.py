"""What each asset keeps in its manifests, beside the circumstances that all of them record.

Steps write these records, and everybody who asks a manifest reads it through them. Captions for people are made where
they are shown.
"""

from typing import Annotated, Any, Self

from smart_assets.embedding.identity import encoder_version
from smart_assets.embedding.settings import Embedding
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
    """The encoder, by the version of its content, and how many windows of a long prompt it reads at most."""

    PART = "parameters"

    encoder: str
    windows: int | None = None  # None: the first alone

    @classmethod
    def of(cls, settings: Embedding) -> Self:
        """Return what settings say."""
        return cls(encoder=encoder_version(settings), windows=None if settings.windows == 1 else settings.windows)


class LongRows(RecordModel):
    """The rows of a task, training and held-out ones, whose prompts are longer than the encoder's window."""

    rows: int
    read_in_part: Annotated[int, kept_as("read in part")]  # of these, with windows that are not read
    most_windows: Annotated[int, kept_as("most windows")]
    most_tokens: Annotated[int, kept_as("most tokens")]  # without special ones


class EmbeddingSummary(ManifestRecord):
    """How many vectors a source has."""

    rows: int
    distinct_prompts: Annotated[int, kept_as("distinct prompts")]
    dimensions: int
    tasks: int
    encoder: str
    precision: str
    # By task, those with any. None: a version made it that cut them, and did not count them.
    long_prompts: Annotated[dict[str, LongRows] | None, kept_as("prompts longer than the encoder's window")] = None


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
    same_document_pairs: Annotated[int | None, kept_as("same-document pairs")] = None


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
    windows: int | None = None  # as `EmbeddingParameters` has it


class LongPromptRows(RecordModel):
    """Prompts of which the encoder reads less than there is."""

    training_rows: Annotated[int, kept_as("training rows")]
    evaluation_rows: Annotated[dict[str, int], kept_as("evaluation rows")]  # by benchmark


class FoundRows(RecordModel):
    """The training rows of a task, and those of them that hold evaluation text."""

    training_rows: Annotated[int, kept_as("training rows")]
    rows: int
    rows_by_kind: Annotated[dict[str, int], kept_as("rows by kind")]  # a row may be found by several

    @property
    def mostly_found(self) -> bool:
        """Whether more than half of the task's rows hold evaluation text."""
        return 2 * self.rows > self.training_rows


class OverlapSummary(ManifestRecord):
    """How many training rows hold evaluation text, and what could not be told.

    `rows_by_task` is what each task loses: source -> task -> `FoundRows`, tasks that lose nothing left out; None where
    a version made it that did not count them.
    """

    training_rows: Annotated[int, kept_as("training rows")]
    evaluation_rows: Annotated[dict[str, int], kept_as("evaluation rows")]  # by benchmark
    rows_with_evaluation_text: Annotated[int, kept_as("rows with evaluation text")]
    rows_by_kind: Annotated[dict[str, int], kept_as("rows by kind")]
    rows_by_benchmark: Annotated[dict[str, int], kept_as("rows by benchmark")]
    rows_undecided: Annotated[dict[str, int] | None, kept_as("rows undecided, by task")] = None
    untold_by_ngrams: Annotated[
        dict[str, dict[str, int]] | None, kept_as("evaluation rows that n-grams cannot tell")
    ] = None  # by cause and benchmark
    # Read in their first window alone: their vectors are not compared.
    long_prompts: Annotated[LongPromptRows | None, kept_as("prompts longer than the encoder reads")] = None
    # Compared, though some of their windows are not read.
    read_in_part: Annotated[LongPromptRows | None, kept_as("prompts read in part")] = None
    # Rows whose prompt has nearly the vector of an evaluation prompt, but not that of its last window.
    same_documents: Annotated[dict[str, int] | None, kept_as("rows of the same document, by task")] = None
    rows_by_task: Annotated[dict[str, dict[str, FoundRows]] | None, kept_as("rows by task")] = None

    def mostly_found(self) -> list[tuple[str, str, FoundRows]]:
        """Return source, name and rows of the tasks of which more than half of the training rows were found."""
        by_task = (self.rows_by_task or {}).items()
        every = [(source, task, rows) for source, tasks in by_task for task, rows in tasks.items()]
        return [item for item in every if item[2].mostly_found]


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
