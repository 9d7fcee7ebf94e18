"""Held-out instances as lm-eval tasks: every task of the collection is one, made on the fly from its rows.

lm-eval sees a generated name (`held_out_0001`) and never the real one, which may be any text: names end up in its log,
its result keys and its files. Scoring is teacher-forced: one pass gives the response loss, and whether the most likely
token is the right one at every position, which is so exactly when greedy decoding from the context would write this
response and its end token. That makes exact match as cheap as the loss, with nothing generated.

lm-eval's own `perplexity` is a mean per document; here losses are summed over tokens first, so that each response token
counts the same. White space that ends a context counts to the continuation, in training as here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from smart_assets.training.formatting import Example, Instance, PromptFormat, encode_example, format_example

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class HeldOutRow:
    """A held-out instance as the model is asked it."""

    instance: Instance
    example: Example
    context_tokens: int
    tokens: int  # those of the continuation: the response and its end token

    @property
    def response_bytes(self) -> int:
        """Length of the response in UTF-8, without its end token."""
        return len(self.instance.response.encode())


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """The rows to be scored, by task and id, and what the model's window does to them."""

    scored: tuple[HeldOutRow, ...]
    too_long: tuple[HeldOutRow, ...]  # the response does not fit the window: not scored
    truncated: tuple[HeldOutRow, ...]  # scored, with a context cut on the left to what fits


@dataclass(frozen=True, slots=True)
class RowResult:
    """What a model did on one held-out instance."""

    id: str
    task: str
    loss_sum: float  # nats, over all tokens of the continuation
    tokens: int
    bytes: int  # of the response in UTF-8
    exact_match: bool


def prepare_rows(
    tokenizer: "PreTrainedTokenizerBase",
    instances: Iterable[Instance],
    prompt_format: PromptFormat,
    max_rows_per_task: int | None,
    window: int,
) -> HeldOutRows:
    """Format and measure the first `max_rows_per_task` instances of each task, by id.

    `window` is the number of tokens the model can look at, and so the longest continuation it can score.

    Raises:
        TrainingError: an instance cannot be written in this prompt format.
    """
    ordered = sorted(instances, key=lambda instance: (instance.task, instance.id))
    chosen = [
        instance
        for _, rows in groupby(ordered, key=lambda instance: instance.task)
        for instance in list(rows)[:max_rows_per_task]
    ]
    rows = [_measure(tokenizer, instance, format_example(tokenizer, instance, prompt_format)) for instance in chosen]
    scored = tuple(row for row in rows if row.tokens <= window)
    return HeldOutRows(
        scored=scored,
        too_long=tuple(row for row in rows if row.tokens > window),
        truncated=tuple(row for row in scored if row.context_tokens + row.tokens > window + 1),
    )


def _measure(tokenizer: "PreTrainedTokenizerBase", instance: Instance, example: Example) -> HeldOutRow:
    context, continuation = encode_example(tokenizer, example)
    return HeldOutRow(instance, example, len(context), len(continuation))


def held_out_tasks(rows: Sequence[HeldOutRow]) -> dict[str, "Task"]:
    """One lm-eval task for each task of the rows (which stand together), by generated name."""
    tasks = [list(group) for _, group in groupby(rows, key=lambda row: row.instance.task)]
    names = [f"held_out_{number:04d}" for number in range(1, len(tasks) + 1)]
    return {name: _lm_eval_task(name, task) for name, task in zip(names, tasks, strict=True)}


def row_results(samples: Iterable[Sequence[dict[str, Any]]]) -> list[RowResult]:
    """The rows' results out of the samples that lm-eval logged for each held-out task."""
    return [_row_result(sample["doc"], sample) for task in samples for sample in task]


def _row_result(row: HeldOutRow, sample: dict[str, Any]) -> RowResult:
    return RowResult(
        id=row.instance.id,
        task=row.instance.task,
        loss_sum=float(sample["loss_sum"]),
        tokens=row.tokens,
        bytes=row.response_bytes,
        exact_match=bool(sample["exact_match"]),
    )


def _lm_eval_task(name: str, rows: Sequence[HeldOutRow]) -> "Task":
    from lm_eval.api.instance import Instance as Request
    from lm_eval.api.metrics import mean
    from lm_eval.api.task import Task

    class HeldOutTask(Task):
        """The rows of one task; the base class asks for every method below."""

        VERSION = 1
        OUTPUT_TYPE = "loglikelihood"

        def download(self, *_: Any, **__: Any) -> None:
            """Nothing: the rows are here."""

        def has_training_docs(self) -> bool:
            return False

        def has_validation_docs(self) -> bool:
            return False

        def has_test_docs(self) -> bool:
            return True

        def test_docs(self) -> Sequence[HeldOutRow]:
            return rows

        def doc_to_text(self, doc: HeldOutRow) -> str:
            return doc.example.context

        def doc_to_target(self, doc: HeldOutRow) -> str:
            return doc.example.continuation

        def fewshot_context(self, doc: HeldOutRow, *_: Any, **__: Any) -> str:
            return doc.example.context

        def construct_requests(self, doc: HeldOutRow, ctx: str, metadata: Any, **_: Any) -> Request:
            return Request("loglikelihood", doc, (ctx, doc.example.continuation), 0, metadata)

        def process_results(self, doc: HeldOutRow, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
            [(log_likelihood, greedy)] = results
            return {"loss_sum": -log_likelihood, "exact_match": float(greedy)}

        def aggregation(self) -> dict[str, Any]:
            return {"loss_sum": mean, "exact_match": mean}

        def higher_is_better(self) -> dict[str, bool]:
            return {"loss_sum": False, "exact_match": True}

    return HeldOutTask(config={"task": name})
