"""The rows that a model is asked, held-out ones and those of collections, and what it did on each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from smart_assets.core.errors import EvaluationError, RefusedRowError
from smart_assets.core.metrics import HELD_OUT
from smart_assets.evaluation.language_model import LanguageModel
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.row_encoder import EncodedRow, RowEncoder

_MOST_CHOICES = 8


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The rows of one benchmark, and how many of each task are asked."""

    name: str  # `held_out`, or a collection's
    instances: Sequence[ChatInstance]
    max_rows_per_task: int | None = None
    ranked: bool = False  # the few distinct responses of a task are ranked for each of its rows

    def by_task(self) -> Iterator[list[ChatInstance]]:
        """Yield the instances of each task, by id; tasks by name."""
        ordered = sorted(self.instances, key=lambda instance: (instance.task, instance.id))
        for _, group in groupby(ordered, key=lambda instance: instance.task):
            yield list(group)

    def asked(self) -> list[ChatInstance]:
        """Return the first `max_rows_per_task` instances of each task."""
        return [instance for task in self.by_task() for instance in task[: self.max_rows_per_task]]


@dataclass(frozen=True, slots=True)
class AskedRow:
    """An instance as the model is asked it."""

    instance: ChatInstance
    encoded: tuple[EncodedRow, ...]  # with its response; where responses are ranked with each of them in its place
    context_tokens: int  # of the whole context, whatever the window holds
    choices: tuple[str, ...] = ()  # the distinct responses of its task, sorted, where they are ranked
    end_tokens: int = 0  # of the end of a response, where responses are ranked

    @property
    def own(self) -> EncodedRow:
        """The row with its own response."""
        return self.encoded[self.choices.index(self.instance.response) if self.choices else 0]

    @property
    def tokens(self) -> int:
        """Those that are scored: the response and its end."""
        return len(self.own.tokens) - self.own.scored_from

    @property
    def response_bytes(self) -> int:
        """Length of the response in UTF-8, without its end token."""
        return len(self.instance.response.encode())

    @property
    def end(self) -> str:
        """What the prompt format writes after the response."""
        return self.own.example.end


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that the model's chat template refuses."""

    instance: ChatInstance
    reason: str


@dataclass(frozen=True, slots=True)
class AskedRows:
    """The rows by task and id, and what the model's window does to them."""

    scored: tuple[AskedRow, ...]
    not_scored: tuple[AskedRow, ...]  # the response does not fit the window
    truncated: tuple[AskedRow, ...]  # scored, with the middle of the prompt cut out
    refused: tuple[RefusedRow, ...] = ()


@dataclass(frozen=True, slots=True)
class RowResult:
    """What a model did on one row."""

    id: str
    task: str
    measured: Mapping[str, float]  # by the metrics' columns of `rows.parquet`, without those that it does not have
    benchmark: str = HELD_OUT
    prediction: str | None = None  # what the model wrote; None where nothing was generated


def prepare_rows(model: LanguageModel, benchmark: Benchmark) -> AskedRows:
    """Format the first `max_rows_per_task` instances of each task, by id, and find those that fit the model's window.

    Raises:
        EvaluationError: there are instances, and none of them can be scored.
        TrainingError: the turns of an instance cannot be read.
    """
    window = int(model.lm.max_length)
    scored: list[AskedRow] = []
    not_scored: list[AskedRow] = []
    refused: list[RefusedRow] = []
    for task in benchmark.by_task():
        choices = _choices(task, window) if benchmark.ranked else ()
        for instance in task[: benchmark.max_rows_per_task]:
            try:
                row = _asked(model.encoder, instance, choices, window)
            except RefusedRowError as reason:
                refused.append(RefusedRow(instance, str(reason)))
            else:
                (scored if _fits(row, window) else not_scored).append(row)
    if not scored and (not_scored or refused):
        raise EvaluationError(_none(benchmark.name, not_scored, refused, window))
    truncated = tuple(row for row in scored if row.own.truncated)
    return AskedRows(tuple(scored), tuple(not_scored), truncated, tuple(refused))


def _none(name: str, not_scored: Sequence[AskedRow], refused: Sequence[RefusedRow], window: int) -> str:
    message = f"none of the {len(not_scored) + len(refused)} rows of {name} can be scored: "
    if refused:
        message += f"{len(refused)} are refused (first, {refused[0].instance.id!r}: {refused[0].reason}); "
    if not_scored:
        shortest = min(row.tokens for row in not_scored)
        message += f"the model reads {window} tokens at most, the shortest response has {shortest}; "
    return message + "shorten the responses, set finetune.system_turns or prompt_format, or take another model"


def _asked(encoder: RowEncoder, instance: ChatInstance, choices: tuple[str, ...], window: int) -> AskedRow:
    responses = choices or (instance.response,)
    encoded = [encoder.encode(replace(instance, response=response)) for response in responses]
    whole = AskedRow(instance, tuple(encoded), 0, choices).own.scored_from
    room = window - max(len(row.tokens) - row.learnt_from for row in encoded)  # the same prompt for all choices
    cut = tuple(encoder.cut(row, instance, room) for row in encoded) if room >= 1 else tuple(encoded)
    return AskedRow(instance, cut, whole, choices, encoder.end_tokens(cut[0]) if choices else 0)


def _fits(row: AskedRow, window: int) -> bool:
    return all(len(encoded.tokens) <= window and len(encoded.tokens) > encoded.scored_from for encoded in row.encoded)


def _choices(task: Sequence[ChatInstance], window: int) -> tuple[str, ...]:
    """Return the distinct responses of all rows of a task, sorted; none where they are no choices to rank.

    There are 2 to 8 of them, each given by two rows on average, and each short: so many bytes are as many tokens.
    """
    distinct = sorted({instance.response for instance in task})
    few = 2 <= len(distinct) <= _MOST_CHOICES and 2 * len(distinct) <= len(task)
    short = all(len(response.encode()) <= window // 2 for response in distinct)
    return tuple(distinct) if few and short else ()
