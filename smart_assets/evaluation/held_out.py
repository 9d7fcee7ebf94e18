"""Held-out instances as lm-eval tasks: every task of the collection is one, made on the fly from its rows.

lm-eval sees a generated name (`held_out_0001`) and never the real one, which may be any text: names end up in its log,
its result keys and its files. Scoring is teacher-forced: one pass gives the response loss, and whether the most likely
token is the right one at every position, which is so exactly when greedy decoding from the context would write this
response and its end token. That makes exact match as cheap as the loss, with nothing generated.

lm-eval's own `perplexity` is a mean per document; here losses are summed over tokens first, so that each response token
counts the same. White space that ends a context counts to the continuation, in training as here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, groupby
from math import isfinite
from typing import Any

from smart_assets.errors import EvaluationError
from smart_assets.evaluation.language_model import LanguageModel
from smart_assets.training.formatting import Example, Instance, encode_example, format_example


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
    """The rows by task and id, and what the model's window does to them."""

    scored: tuple[HeldOutRow, ...]
    not_scored: tuple[HeldOutRow, ...]  # the response does not fit the window, or there is nothing before it
    truncated: tuple[HeldOutRow, ...]  # scored, with the start of the context cut off


@dataclass(frozen=True, slots=True)
class RowResult:
    """What a model did on one held-out instance."""

    id: str
    task: str
    loss_sum: float  # nats, over all tokens of the continuation
    tokens: int
    bytes: int  # of the response in UTF-8
    exact_match: bool


def prepare_rows(model: LanguageModel, instances: Sequence[Instance], max_rows_per_task: int | None) -> HeldOutRows:
    """Format the first `max_rows_per_task` instances of each task, by id, and find those that fit the model's window.

    Raises:
        EvaluationError: there are instances, and none of them fits.
        TrainingError: an instance cannot be written in the model's prompt format.
    """
    ordered = sorted(instances, key=lambda instance: (instance.task, instance.id))
    by_task = groupby(ordered, key=lambda instance: instance.task)
    chosen = [instance for _, task in by_task for instance in list(task)[:max_rows_per_task]]
    rows = [_measured(model, instance) for instance in chosen]
    window = model.lm.max_length
    fits = [row.context_tokens > 0 and 0 < row.tokens <= window for row in rows]
    scored = tuple(compress(rows, fits))
    if rows and not scored:
        raise EvaluationError(
            f"none of the {len(rows)} held-out rows can be scored: the model reads {window} tokens at most, "
            f"the shortest response has {min(row.tokens for row in rows)}; shorten the responses or take another model"
        )
    return HeldOutRows(
        scored=scored,
        not_scored=tuple(row for row, fit in zip(rows, fits, strict=True) if not fit),
        truncated=tuple(row for row in scored if row.context_tokens + row.tokens > window + 1),
    )


def score_rows(lm: Any, rows: Sequence[HeldOutRow]) -> list[RowResult]:
    """Score rows (those of a task standing together) by the model, in their order.

    Raises:
        EvaluationError: a loss is not finite.
    """
    from lm_eval.evaluator import evaluate

    if not rows:
        return []
    tasks = [list(task) for _, task in groupby(rows, key=lambda row: row.instance.task)]
    named = {f"held_out_{number:04d}": task for number, task in enumerate(tasks, start=1)}
    results: Any = evaluate(
        lm=lm, task_dict={"tasks": {name: _lm_eval_task(name, task) for name, task in named.items()}}, bootstrap_iters=0
    )
    return [_row_result(sample["doc"], sample) for name in named for sample in results["samples"][name]]


def _measured(model: LanguageModel, instance: Instance) -> HeldOutRow:
    example = format_example(model.tokenizer, instance, model.prompt_format)
    context, continuation = encode_example(model.tokenizer, example)
    return HeldOutRow(instance, example, len(context), len(continuation))


def _row_result(row: HeldOutRow, sample: dict[str, Any]) -> RowResult:
    loss_sum = float(sample["loss_sum"])
    if not isfinite(loss_sum):
        raise EvaluationError(
            f"held-out row {row.instance.id!r} of task {row.instance.task!r}: the model's loss is {loss_sum}; "
            'its weights are damaged, or evaluate in precision "float32"'
        )
    return RowResult(
        id=row.instance.id,
        task=row.instance.task,
        loss_sum=loss_sum,
        tokens=row.tokens,
        bytes=row.response_bytes,
        exact_match=bool(sample["exact_match"]),
    )


def _lm_eval_task(name: str, rows: Sequence[HeldOutRow]) -> Any:
    from lm_eval.api.instance import Instance as Request
    from lm_eval.api.metrics import mean
    from lm_eval.api.task import Task

    base: Any = Task  # its methods are typed as returning nothing

    class HeldOutTask(base):
        """The rows of one task; the base class asks for every method below."""

        VERSION = 1

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
            return Request("loglikelihood", {"id": doc.instance.id}, (ctx, doc.example.continuation), 0, metadata)

        def process_results(self, _doc: HeldOutRow, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
            [(log_likelihood, greedy)] = results
            return {"loss_sum": -log_likelihood, "exact_match": float(greedy)}

        def aggregation(self) -> dict[str, Any]:
            return {"loss_sum": mean, "exact_match": mean}

        def higher_is_better(self) -> dict[str, bool]:
            return {"loss_sum": False, "exact_match": True}

    return HeldOutTask(config={"task": name, "output_type": "loglikelihood"})
