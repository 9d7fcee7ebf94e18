"""The rows that a model is asked, held-out ones and those of collections, and what it did on each of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, groupby

from smart_assets.errors import EvaluationError
from smart_assets.evaluation.language_model import LanguageModel
from smart_assets.metrics import HELD_OUT
from smart_assets.training.formatting import Example, Instance, encode_example, format_example

_MOST_CHOICES = 8


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The rows of one benchmark, and how many of each task are asked."""

    name: str  # `held_out`, or a collection's
    instances: Sequence[Instance]
    max_rows_per_task: int | None = None
    ranked: bool = False  # the few distinct responses of a task are ranked for each of its rows

    def by_task(self) -> Iterator[list[Instance]]:
        """The instances of each task, by id; tasks by name."""
        ordered = sorted(self.instances, key=lambda instance: (instance.task, instance.id))
        for _, group in groupby(ordered, key=lambda instance: instance.task):
            yield list(group)

    def asked(self) -> list[Instance]:
        """The first `max_rows_per_task` instances of each task."""
        return [instance for task in self.by_task() for instance in task[: self.max_rows_per_task]]


@dataclass(frozen=True, slots=True)
class AskedRow:
    """An instance as the model is asked it."""

    instance: Instance
    example: Example
    context_tokens: int
    tokens: int  # those of the continuation: the response and its end token
    choices: tuple[str, ...] = ()  # the distinct responses of its task, sorted, where they are ranked

    @property
    def response_bytes(self) -> int:
        """Length of the response in UTF-8, without its end token."""
        return len(self.instance.response.encode())

    @property
    def continuations(self) -> list[str]:
        """What is scored after the context: each of the choices, or the response alone."""
        return [choice + self.end for choice in self.choices] or [self.example.continuation]

    @property
    def end(self) -> str:
        """What the prompt format writes after the response."""
        return self.example.continuation.removeprefix(self.instance.response)


@dataclass(frozen=True, slots=True)
class AskedRows:
    """The rows by task and id, and what the model's window does to them."""

    scored: tuple[AskedRow, ...]
    not_scored: tuple[AskedRow, ...]  # the response does not fit the window, or there is nothing before it
    truncated: tuple[AskedRow, ...]  # scored, with the start of the context cut off


@dataclass(frozen=True, slots=True)
class RowResult:
    """What a model did on one row."""

    id: str
    task: str
    loss_sum: float  # nats, over all tokens of the continuation
    tokens: int
    bytes: int  # of the response in UTF-8
    exact_match: bool
    benchmark: str = HELD_OUT
    rouge_l: float | None = None  # F in [0, 1]; None where nothing was generated
    prediction: str | None = None  # what the model wrote; None where nothing was generated
    choice_correct: bool | None = None  # whether the response ranked first; None where its task is not ranked
    acc: bool | None = None  # likewise, by the log-likelihood without the end token, as lm-eval ranks
    acc_norm: bool | None = None  # likewise, divided by the length in characters


def prepare_rows(model: LanguageModel, benchmark: Benchmark) -> AskedRows:
    """Format the first `max_rows_per_task` instances of each task, by id, and find those that fit the model's window.

    Raises:
        EvaluationError: there are instances, and none of them fits.
        TrainingError: an instance cannot be written in the model's prompt format.
    """
    window = int(model.lm.max_length)
    rows: list[AskedRow] = []
    for task in benchmark.by_task():
        choices = _choices(task, window) if benchmark.ranked else ()
        rows += [_measured(model, instance, choices) for instance in task[: benchmark.max_rows_per_task]]
    fits = [row.context_tokens > 0 and 0 < row.tokens <= window for row in rows]
    scored = tuple(compress(rows, fits))
    if rows and not scored:
        raise EvaluationError(
            f"none of the {len(rows)} rows of {benchmark.name} can be scored: the model reads {window} tokens at most, "
            f"the shortest response has {min(row.tokens for row in rows)}; shorten the responses or take another model"
        )
    return AskedRows(
        scored=scored,
        not_scored=tuple(row for row, fit in zip(rows, fits, strict=True) if not fit),
        truncated=tuple(row for row in scored if row.context_tokens + row.tokens > window + 1),
    )


def _choices(task: Sequence[Instance], window: int) -> tuple[str, ...]:
    """The distinct responses of all rows of a task, sorted; none where they are no choices to rank.

    There are 2 to 8 of them, each given by two rows on average, and each short: so many bytes are as many tokens.
    """
    distinct = sorted({instance.response for instance in task})
    few = 2 <= len(distinct) <= _MOST_CHOICES and 2 * len(distinct) <= len(task)
    short = all(len(response.encode()) <= window // 2 for response in distinct)
    return tuple(distinct) if few and short else ()


def _measured(model: LanguageModel, instance: Instance, choices: tuple[str, ...]) -> AskedRow:
    example = format_example(model.tokenizer, instance, model.prompt_format)
    context, continuation = encode_example(model.tokenizer, example)
    return AskedRow(instance, example, len(context), len(continuation), choices)
