"""What Dagster and its users are told of each asset: description, group, kinds, upstreams, whether it uses a GPU."""

from dataclasses import dataclass, replace

from smart_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class AssetCard:
    """The Dagster side of one asset."""

    name: str
    description: str
    group: str
    kinds: frozenset[str]
    upstream: tuple[str, ...]
    gpu: bool = False


CATALOG: tuple[AssetCard, ...] = (
    AssetCard(
        "raw_tasks",
        "The instances of a source: accepted rows with their task, template, prompt and response, each on the "
        "training or the validation side; rejected rows with file, line and reason.",
        "tasks",
        frozenset({"python", "parquet"}),
        (),
    ),
    AssetCard(
        "prompt_embeddings",
        "A unit vector for every prompt of a source, and every task's mean vector. Only prompts that were never seen "
        "by this encoder are embedded.",
        "vectors",
        frozenset({"huggingface", "pytorch", "numpy"}),
        ("raw_tasks",),
        gpu=True,
    ),
    AssetCard(
        "similarity_index",
        "A FAISS index over the vectors of a source, and the pairs of rows whose prompts are near duplicates.",
        "vectors",
        frozenset({"faiss", "parquet"}),
        ("prompt_embeddings",),
        gpu=True,
    ),
    AssetCard(
        "instance_orderings",
        "The greedy ordering of every (task, template) group by each objective in use, with the marginal gain of each "
        "pick. Any budget is a prefix of it.",
        "selection",
        frozenset({"python", "parquet"}),
        ("prompt_embeddings",),
    ),
    AssetCard(
        "evaluation_overlap",
        "The training rows that hold text of a held-out row, of a collection that is only evaluated on, or of a local "
        "lm-eval set: the same text, n-grams in common, near-duplicate prompts, nearly the same vector. Subsets leave "
        "them out.",
        "tasks",
        frozenset({"python", "parquet"}),
        ("raw_tasks",),
    ),
    AssetCard(
        "task_scores",
        "The greedy order of all tasks by each objective in use, the marginal gains, and the mixture weights that a "
        "second-order Taylor softmax makes of them.",
        "selection",
        frozenset({"python", "parquet"}),
        ("prompt_embeddings",),
    ),
    AssetCard(
        "selected_subset",
        "The mixture of one budget and recipe: which rows, of which task and template, at which rank and gain.",
        "selection",
        frozenset({"python", "parquet"}),
        ("task_scores", "instance_orderings", "raw_tasks", "evaluation_overlap"),
    ),
    AssetCard(
        "finetuned_checkpoint",
        "The base model fine-tuned on the subset (completion-only loss), as safetensors with its loss curve; one for "
        "each seed.",
        "models",
        frozenset({"pytorch", "huggingface"}),
        ("selected_subset",),  # the texts are in the subset's version: raw_tasks is only looked up in
        gpu=True,
    ),
    AssetCard(
        "base_model_results",
        "The base model on the same evaluation: the line to beat.",
        "models",
        frozenset({"huggingface", "parquet"}),
        ("raw_tasks",),
        gpu=True,
    ),
    AssetCard(
        "eval_results",
        "lm-eval on the checkpoint: response loss and exact match on each task's held-out rows, and any lm-eval task.",
        "models",
        frozenset({"huggingface", "parquet"}),
        ("finetuned_checkpoint", "raw_tasks"),
        gpu=True,
    ),
    AssetCard(
        "mixture_report",
        "One self-contained HTML page: task map, kernel, gains, budgets, rejected rows, and every recipe's results "
        "against the base model.",
        "report",
        frozenset({"html"}),
        ("task_scores", "selected_subset", "eval_results", "base_model_results", "similarity_index", "raw_tasks"),
    ),
)


def cards(settings: Settings) -> tuple[AssetCard, ...]:
    """The catalog as the settings make it: whose upstreams and use of a GPU depend on them."""
    return tuple(_card(card, settings) for card in CATALOG)


def _card(card: AssetCard, settings: Settings) -> AssetCard:
    selection, evaluate = settings.selection, settings.evaluate
    if card.name == "instance_orderings":
        searched = ("similarity_index",) if selection.searches_index else ()
        return replace(card, upstream=(*card.upstream, *searched), gpu=selection.engine == "cuda")
    if card.name == "evaluation_overlap" and settings.contamination.similarity is not None:
        outside = bool(evaluate.collections or evaluate.local_data)  # whose prompts are embedded
        return replace(card, upstream=(*card.upstream, "prompt_embeddings"), gpu=outside)
    return card
