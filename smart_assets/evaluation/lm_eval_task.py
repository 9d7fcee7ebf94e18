"""Rows of ours as an lm-eval task: made on the fly, under a generated name.

lm-eval never sees a task's real name, which may be any text: names end up in its log, its result keys and its files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from smart_assets.evaluation.rows import AskedRow

Request = tuple[Literal["loglikelihood", "generate_until"], tuple[Any, ...]]
"""lm-eval's type of a request, and its arguments."""


@dataclass(frozen=True, slots=True)
class RowRequests:
    """What is asked about a row, and how the answers are read."""

    requests: Callable[[AskedRow], Sequence[Request]]
    read: Callable[[AskedRow, Sequence[Any]], Mapping[str, Any]]  # figures by the answers, in order of the requests


def ask_rows(lm: Any, rows: Sequence[AskedRow], question: RowRequests) -> list[dict[str, Any]]:
    """Return what `question.read` gives of each row (those of a task standing together), in their order."""
    from lm_eval.evaluator import evaluate

    if not rows:
        return []
    tasks = [list(task) for _, task in groupby(rows, key=lambda row: row.instance.task)]
    named = {f"rows_{number:04d}": task for number, task in enumerate(tasks, start=1)}
    made = {name: _lm_eval_task(name, task, question) for name, task in named.items()}
    results: Any = evaluate(lm=lm, task_dict={"tasks": made}, bootstrap_iters=0)
    return [sample["figures"] for name in named for sample in results["samples"][name]]


def _lm_eval_task(name: str, rows: Sequence[AskedRow], question: RowRequests) -> Any:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import Task

    base: Any = Task  # its methods are typed as returning nothing

    class RowsTask(base):
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

        def test_docs(self) -> Sequence[AskedRow]:
            return rows

        def doc_to_text(self, doc: AskedRow) -> str:
            return doc.own.example.context

        def doc_to_target(self, doc: AskedRow) -> str:
            return doc.own.example.continuation

        def fewshot_context(self, doc: AskedRow, *_: Any, **__: Any) -> str:
            return doc.own.example.context

        def construct_requests(self, doc: AskedRow, *_: Any, metadata: Any, **__: Any) -> list[Instance]:
            return [
                Instance(kind, {"id": doc.instance.id}, arguments, index, metadata)
                for index, (kind, arguments) in enumerate(question.requests(doc))
            ]

        def process_results(self, doc: AskedRow, results: Sequence[Any]) -> dict[str, Any]:
            return {"figures": dict(question.read(doc, results))}

        def aggregation(self) -> dict[str, Any]:
            return {"figures": len}  # figures are ours to sum up

        def higher_is_better(self) -> dict[str, bool]:
            return {"figures": True}

    return RowsTask(config={"task": name, "output_type": "loglikelihood"})
