"""How an instance becomes the text and the tokens a model sees: one module, so that training and evaluation agree.

Text first, tokens second, as lm-eval does it: an example is a context and a continuation, and its tokens are those of
the joined text, split where the context's own tokens end. Evaluation thus asks a model exactly what it was taught.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.errors import TrainingError
from smart_assets.training.settings import PromptFormat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INSTANCE_COLUMNS = ("id", "task", "prompt", "response", "messages")
_RESPONSE_MARK = "response-of-the-assistant"


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of a task; `messages` is a JSON list of the chat turns before the response, where there are several."""

    id: str
    task: str
    prompt: str
    response: str
    messages: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """An instance as text: all that stands before the response, and the response with its end token's text."""

    context: str
    continuation: str


def load_instances(path: Path) -> list[Instance]:
    """Read the instances of a Parquet file, in its row order.

    Raises:
        TrainingError: the file is missing, is not Parquet, lacks a column, holds no row, or holds a null or something
            other than text (only `messages` may be null).
    """
    try:
        table = pq.ParquetFile(path).read(columns=list(INSTANCE_COLUMNS))
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: there is no such file; name the Parquet file that holds the instances") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingError(f"{path}: cannot be read as Parquet ({error}); write the instances anew") from error
    missing = [name for name in INSTANCE_COLUMNS if name not in table.column_names]
    if missing:
        raise TrainingError(f"{path}: needs the columns {', '.join(INSTANCE_COLUMNS)}; lacks {', '.join(missing)}")
    if table.num_rows == 0:
        raise TrainingError(f"{path}: holds no instance; at least one is needed")
    for name in INSTANCE_COLUMNS:
        _check_text_column(table.column(name), name, path)
    columns = [table.column(name).to_pylist() for name in INSTANCE_COLUMNS]
    return [Instance(*row) for row in zip(*columns, strict=True)]


def _check_text_column(column: Any, name: str, path: Path) -> None:
    nullable = name == "messages"
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not text and not (nullable and pa.types.is_null(column.type)):
        raise TrainingError(f"{path}: column {name} must hold text; it holds {column.type}")
    if column.null_count and not nullable:
        raise TrainingError(f"{path}: column {name} must not be null; {column.null_count} of {len(column)} rows are")


def format_example(tokenizer: "PreTrainedTokenizerBase", instance: Instance, prompt_format: PromptFormat) -> Example:
    """Write an instance as context and continuation.

    chat: the context is the tokenizer's chat template over the turns before the response, with the generation prompt;
    the continuation is the response and the text with which the template ends an assistant turn.
    plain: the context is the prompt and a newline (a beginning-of-text token before them where the tokenizer would add
    one); the continuation is the response and the end-of-text token. `auto` is chat where there is a chat template.

    Raises:
        TrainingError: chat is wanted without a chat template, plain without an end-of-text token, or the template
            refuses the turns of this instance.
    """
    if prompt_format == "plain" or (prompt_format == "auto" and not tokenizer.chat_template):
        return Example(_begin_text(tokenizer) + instance.prompt + "\n", instance.response + _end_text(tokenizer))
    if not tokenizer.chat_template:
        raise TrainingError('prompt_format "chat" needs a tokenizer with a chat template; set it to "plain" or "auto"')
    context = _render_turns(tokenizer, _turns(instance), True, f"instance {instance.id!r}")
    return Example(context, instance.response + _end_of_turn(tokenizer))


def encode_example(tokenizer: "PreTrainedTokenizerBase", example: Example) -> tuple[list[int], list[int]]:
    """Token ids of the context and of the continuation, (c,) and (r,), exactly as lm-eval's `_encode_pair` splits them.

    White space at the end of the context counts to the continuation; special tokens stand in the text already and are
    not added a second time. A token that spans the border belongs to the side that `enc(context)` gives it.
    """
    context = example.context.rstrip()
    whole: list[int] = tokenizer.encode(example.context + example.continuation, add_special_tokens=False)
    context_ids: list[int] = tokenizer.encode(context, add_special_tokens=False)
    return context_ids, whole[len(context_ids) :]


def _turns(instance: Instance) -> list[dict[str, Any]]:
    if instance.messages is None:
        return [{"role": "user", "content": instance.prompt}]
    try:
        turns: object = json.loads(instance.messages)
    except json.JSONDecodeError as error:
        raise TrainingError(f"instance {instance.id!r}: messages must be JSON ({error})") from error
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in cast(list[object], turns)):
        raise TrainingError(f"instance {instance.id!r}: messages must be a list of turns with role and content")
    return cast(list[dict[str, Any]], turns)


def _render_turns(tokenizer: "PreTrainedTokenizerBase", turns: list[dict[str, Any]], open_turn: bool, who: str) -> str:
    from jinja2 import TemplateError

    try:
        return cast(str, tokenizer.apply_chat_template(turns, add_generation_prompt=open_turn, tokenize=False))
    except (TemplateError, TypeError, KeyError) as error:
        raise TrainingError(
            f"{who}: the chat template refuses its turns ({error}); "
            'drop the instance at its source or set prompt_format to "plain"'
        ) from error


@lru_cache(maxsize=4)
def _end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the chat template writes after an assistant's words; the end-of-text token where it writes nothing."""
    turns = [{"role": "user", "content": "-"}, {"role": "assistant", "content": _RESPONSE_MARK}]
    rendered = _render_turns(tokenizer, turns, False, "a question and its answer")
    return rendered.rpartition(_RESPONSE_MARK)[2].rstrip("\n") or _end_text(tokenizer)


def _end_text(tokenizer: "PreTrainedTokenizerBase") -> str:
    if not tokenizer.eos_token:
        raise TrainingError("the tokenizer has no end-of-text token (eos_token), so no response could end; set one")
    return str(tokenizer.eos_token)


@lru_cache(maxsize=4)
def _begin_text(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The beginning-of-text token's text where the tokenizer begins every text with it, else nothing."""
    adds = tokenizer.bos_token is not None and tokenizer.encode("-")[:1] == [tokenizer.bos_token_id]
    return str(tokenizer.bos_token) if adds else ""
