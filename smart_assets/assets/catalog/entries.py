"""Every asset once. The graph, jobs, sensors, metadata, SQL, forecast, gc, audit and redaction follow from it.

A new asset is a module with `NAME`, `CODE_VERSION`, `desired` and `make`, and an entry here, after its upstreams.
"""

from smart_assets.assets import (
    base_model_results,
    eval_results,
    evaluation_overlap,
    finetuned_checkpoint,
    instance_orderings,
    mixture_report,
    prompt_embeddings,
    raw_tasks,
    selected_subset,
    similarity_index,
    task_scores,
)
from smart_assets.assets.declaration import Array, Asset, FromTexts, OtherFiles, Table, Upstream
from smart_assets.assets.model_records import CheckpointSummary
from smart_assets.assets.reading import evaluation_vectors
from smart_assets.assets.records import (
    EmbeddingSummary,
    IndexSummary,
    OrderingSummary,
    OverlapSummary,
    RawTasksSummary,
    ReportSummary,
    SubsetSummary,
    TaskScoresSummary,
)
from smart_assets.assets.work import (
    Work,
    models_evaluated,
    models_to_evaluate,
    prompts_embedded,
    rows_ordered,
    rows_read,
    rows_to_embed,
    rows_to_order,
    rows_to_read,
    tokens_to_train,
    tokens_trained,
)
from smart_assets.embedding.windows import LAST_FILE, LONG_FILE, LONG_PROMPTS
from smart_assets.evaluation.record import METRICS_SCHEMA, ROWS_SCHEMA, SAMPLES_SCHEMA
from smart_assets.mixture.mixture import MIXTURE_COLUMNS
from smart_assets.tasks.kept import KEPT, KEPT_FILE
from smart_assets.tasks.read_result import INSTANCES_FILE, ORIGINS, REJECTED, TASKS
from smart_assets.tasks.unread import COLUMNS, COLUMNS_FILE

_NO_TEXTS = frozenset[str]()
_UNREAD = frozenset({"unread"})
_ORIGINS = raw_tasks.ORIGINS_FOLDER


def _evaluation_tables(base_model: bool) -> tuple[Table | OtherFiles, ...]:
    views = ("base_model_evals", "base_model_rows", None) if base_model else ("evals", "eval_rows", "eval_samples")
    outside = frozenset({"target", "prediction", "metrics"})  # documents of lm-eval's own, and answers to them
    return (
        Table("*/metrics.parquet", METRICS_SCHEMA, texts=_NO_TEXTS, view=views[0]),
        Table("*/rows.parquet", ROWS_SCHEMA, texts=frozenset({"prediction"}), view=views[1]),
        Table("*/samples.parquet", SAMPLES_SCHEMA, texts=_NO_TEXTS, outside_texts=outside, view=views[2]),
        OtherFiles("*/result.json"),
    )


ENTRIES: tuple[Asset, ...] = (
    Asset(
        step=raw_tasks,
        description="The instances of a source: accepted rows with their task, template, prompt and response, each "
        "on the training or the validation side; rejected rows with file, line and reason.",
        partitioned_by="source",
        job="update_sources",
        requested_by="task_sources",
        group="tasks",
        kinds=frozenset({"python", "parquet"}),
        summary=RawTasksSummary,
        upstream=(),
        files=(
            Table(
                INSTANCES_FILE,
                raw_tasks.WITH_SIDES,
                texts=frozenset({"prompt", "response", "messages"}),
                digests=frozenset({"prompt_hash"}),
                view="instances",
            ),
            Array("signatures.npy", rows_of=INSTANCES_FILE),
            Table("origins.parquet", ORIGINS, texts=_NO_TEXTS, digests=_UNREAD, view="origins", attachment=_ORIGINS),
            Table(
                "rejected.parquet",
                REJECTED,
                texts=frozenset({"excerpt"}),
                digests=_UNREAD,
                ids=raw_tasks.refused_ids,
                ids_from=("excerpt", "id"),
                view="rejected",
                of_refused=True,
                attachment=_ORIGINS,
            ),
            Table("tasks.parquet", TASKS, texts=_NO_TEXTS, view="tasks", attachment=_ORIGINS),
            # What people said of themselves and their texts. Only where the source keeps columns.
            Table(KEPT_FILE, KEPT, texts=frozenset({"kept"}), view="kept", attachment=_ORIGINS),
            Table(COLUMNS_FILE, COLUMNS, texts=_NO_TEXTS, view="source_columns", attachment=_ORIGINS),
            OtherFiles("files.json", _ORIGINS),
        ),
        from_texts=None,
        work=Work("rows to read", rows_to_read, rows_read),
        explains=True,
    ),
    Asset(
        step=prompt_embeddings,
        description="A unit vector for every prompt of a source, and every task's mean vector. Only prompts that "
        "were never seen by this encoder are embedded. The vector of a prompt longer than the encoder's window is the "
        "mean of its windows.",
        partitioned_by="source",
        job="update_sources",
        requested_by="task_sources",
        group="vectors",
        kinds=frozenset({"huggingface", "pytorch", "numpy"}),
        summary=EmbeddingSummary,
        upstream=(Upstream(raw_tasks.NAME),),
        files=(
            Table(prompt_embeddings.ROWS_FILE, prompt_embeddings.ROWS, texts=_NO_TEXTS, view="embeddings"),
            Array("vectors.npy"),
            Table(LONG_FILE, LONG_PROMPTS, texts=_NO_TEXTS, view="long_prompts"),
            Array(LAST_FILE),
            Table("tasks.parquet", prompt_embeddings.TASKS, texts=_NO_TEXTS),
            Array("task_means.npy"),
        ),
        from_texts=FromTexts("listed", listed_in=prompt_embeddings.ROWS_FILE),
        work=Work("rows to embed", rows_to_embed, prompts_embedded),
        on_gpu=lambda _: True,
    ),
    Asset(
        step=similarity_index,
        description="A FAISS index over the vectors of a source, and the pairs of rows whose prompts are near "
        "duplicates.",
        partitioned_by="source",
        job="update_sources",
        requested_by="task_sources",
        group="vectors",
        kinds=frozenset({"faiss", "parquet"}),
        summary=IndexSummary,
        upstream=(Upstream(prompt_embeddings.NAME),),
        files=(
            OtherFiles("index.faiss"),
            Array("nearest.npy"),
            Table("near_duplicates.parquet", similarity_index.NEAR_DUPLICATES, texts=_NO_TEXTS, view="near_duplicates"),
            Table("same_documents.parquet", similarity_index.SAME_DOCUMENTS, texts=_NO_TEXTS, view="same_documents"),
        ),
        from_texts=FromTexts("all"),
        on_gpu=lambda _: True,
    ),
    Asset(
        step=instance_orderings,
        description="The greedy ordering of every (task, template) group by each objective in use, with the "
        "marginal gain of each pick. Any budget is a prefix of it.",
        partitioned_by="source",
        job="update_sources",
        requested_by="task_sources",
        group="selection",
        kinds=frozenset({"python", "parquet"}),
        summary=OrderingSummary,
        upstream=(
            Upstream(prompt_embeddings.NAME),
            Upstream(similarity_index.NAME, when=lambda settings: settings.selection.searches_index),
        ),
        files=(
            Table("orderings.parquet", instance_orderings.ORDERINGS, texts=_NO_TEXTS, view="orderings"),
            Table("groups.parquet", instance_orderings.GROUPS, texts=_NO_TEXTS),
        ),
        from_texts=None,
        work=Work("rows to order", rows_to_order, rows_ordered),
        on_gpu=lambda settings: settings.selection.engine == "cuda",
    ),
    Asset(
        step=evaluation_overlap,
        description="The training rows that hold text of a held-out row, of a collection that is only evaluated "
        "on, or of a local lm-eval set: the same text, n-grams in common, near-duplicate prompts, nearly the same "
        "vector. Subsets leave them out.",
        partitioned_by="nothing",
        job="update_subsets",
        requested_by="task_sources",
        group="tasks",
        kinds=frozenset({"python", "parquet"}),
        summary=OverlapSummary,
        upstream=(
            Upstream(raw_tasks.NAME),
            Upstream(prompt_embeddings.NAME, when=lambda settings: settings.contamination.similarity is not None),
        ),
        files=(
            Table("overlaps.parquet", evaluation_overlap.OVERLAPS, texts=_NO_TEXTS, view="evaluation_overlaps"),
            Table("undecided.parquet", evaluation_overlap.OVERLAPS, texts=_NO_TEXTS, view="undecided_overlaps"),
            Table(
                "same_documents.parquet", evaluation_overlap.OVERLAPS, texts=_NO_TEXTS, view="same_document_overlaps"
            ),
            Table(
                "unsearched.parquet",
                evaluation_overlap.UNSEARCHED,
                texts=_NO_TEXTS,
                view="unsearched_evaluation_rows",
            ),
            # Prompts of evaluation sets alone, which are no rows of a source.
            Table(
                "prompts.parquet",
                evaluation_vectors.PROMPTS,
                texts=_NO_TEXTS,
                attachment=evaluation_vectors.ATTACHMENT,
            ),
            Array("vectors.npy", attachment=evaluation_vectors.ATTACHMENT),
            Table(LONG_FILE, LONG_PROMPTS, texts=_NO_TEXTS, attachment=evaluation_vectors.ATTACHMENT),
            Array(LAST_FILE, attachment=evaluation_vectors.ATTACHMENT),
        ),
        from_texts=None,
        on_gpu=lambda settings: (
            settings.contamination.similarity is not None
            and bool(settings.evaluate.collections or settings.evaluate.local_data)
        ),
        explains=True,
    ),
    Asset(
        step=task_scores,
        description="The greedy order of all tasks by each objective in use, the marginal gains, and the mixture "
        "weights that a second-order Taylor softmax makes of them.",
        partitioned_by="nothing",
        job="update_subsets",
        requested_by="task_sources",
        group="selection",
        kinds=frozenset({"python", "parquet"}),
        summary=TaskScoresSummary,
        upstream=(Upstream(prompt_embeddings.NAME),),
        files=(
            Table("tasks.parquet", task_scores.TASKS, texts=_NO_TEXTS),
            Array("task_vectors.npy"),
            Array("kernel.npy"),
            Table("scores.parquet", task_scores.SCORES, texts=_NO_TEXTS, view="task_scores"),
            Table("temperatures.parquet", task_scores.TEMPERED, texts=_NO_TEXTS),
        ),
        # Means of tasks, some of one row.
        from_texts=FromTexts("training"),
    ),
    Asset(
        step=base_model_results,
        description="The base model on the same evaluation: the line to beat.",
        partitioned_by="nothing",
        job="update_results",
        requested_by="retrain",
        group="models",
        kinds=frozenset({"huggingface", "parquet"}),
        summary=None,
        upstream=(Upstream(raw_tasks.NAME),),
        files=_evaluation_tables(base_model=True),
        from_texts=None,
        work=Work("models to evaluate", models_to_evaluate, models_evaluated),
        on_gpu=lambda _: True,
    ),
    Asset(
        step=selected_subset,
        description="The mixture of one budget and recipe: which rows, of which task and template, at which rank "
        "and gain.",
        partitioned_by="budget and recipe",
        job="update_subsets",
        requested_by="task_sources",
        group="selection",
        kinds=frozenset({"python", "parquet"}),
        summary=SubsetSummary,
        upstream=(
            Upstream(task_scores.NAME),
            Upstream(instance_orderings.NAME),
            Upstream(raw_tasks.NAME),
            Upstream(evaluation_overlap.NAME),
        ),
        files=(
            Table("subset.parquet", MIXTURE_COLUMNS, texts=_NO_TEXTS, view="subsets"),
            Table("task_budgets.parquet", selected_subset.TASK_BUDGETS, texts=_NO_TEXTS, view="task_budgets"),
        ),
        from_texts=None,
        explained=True,
        explains=True,
    ),
    Asset(
        step=finetuned_checkpoint,
        description="The base model fine-tuned on the subset (completion-only loss), as safetensors with its loss "
        "curve; one for each seed.",
        partitioned_by="budget and recipe",
        job="update_results",
        requested_by="retrain",
        group="models",
        kinds=frozenset({"pytorch", "huggingface"}),
        # The texts are in the subset's version.
        summary=CheckpointSummary,
        upstream=(Upstream(selected_subset.NAME), Upstream(raw_tasks.NAME, looked_up=True)),
        files=(
            Table("*/loss.parquet", finetuned_checkpoint.LOSSES, texts=_NO_TEXTS, view="losses"),
            OtherFiles("*/result.json"),
            OtherFiles("*/model/*"),
            OtherFiles("*/adapter/*"),
            OtherFiles("*", finetuned_checkpoint.BOARD),
            OtherFiles("*.html", finetuned_checkpoint.AUDIT),
        ),
        from_texts=None,
        work=Work("tokens to train", tokens_to_train, tokens_trained),
        on_gpu=lambda _: True,
        explained=True,
    ),
    Asset(
        step=eval_results,
        description="lm-eval on the checkpoint: response loss and exact match on each task's held-out rows, and "
        "any lm-eval task.",
        partitioned_by="budget and recipe",
        job="update_results",
        requested_by="retrain",
        group="models",
        kinds=frozenset({"huggingface", "parquet"}),
        summary=None,
        upstream=(Upstream(finetuned_checkpoint.NAME), Upstream(raw_tasks.NAME)),
        files=_evaluation_tables(base_model=False),
        from_texts=None,
        # The same program; the base model is often measured first.
        work=Work("models to evaluate", models_to_evaluate, models_evaluated, alike=(base_model_results.NAME,)),
        on_gpu=lambda _: True,
        explained=True,
    ),
    Asset(
        step=mixture_report,
        description="One self-contained HTML page: task map, kernel, gains, budgets, rejected rows, and every "
        "recipe's results against the base model.",
        partitioned_by="nothing",
        job="update_results",
        requested_by="report",
        group="report",
        kinds=frozenset({"html"}),
        summary=ReportSummary,
        upstream=(
            Upstream(task_scores.NAME),
            Upstream(selected_subset.NAME),
            Upstream(eval_results.NAME),
            Upstream(base_model_results.NAME),
            Upstream(similarity_index.NAME),
            Upstream(prompt_embeddings.NAME, looked_up=True),
            Upstream(raw_tasks.NAME),
        ),
        files=(OtherFiles(mixture_report.PAGE),),
        # It quotes prompts, and does not say of which rows.
        from_texts=FromTexts("all", refused_rows=True),
    ),
)
