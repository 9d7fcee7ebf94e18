"""How a row becomes the tokens that a model sees: one module, so that training and evaluation agree.

Text first, tokens second: the tokens are those of the whole text, the chat template's or the plain one's, split where
the prompt's own tokens end. So the prompt has the tokens it has when the model is asked, and what stands after it is
what the model has to write. Special tokens are parsed where the template writes them; in a row's own text they are
text like any other.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from smart_assets.core.errors import RefusedRowError, TrainingError
from smart_assets.core.stored_chat import StoredChat, parse_stored
from smart_assets.training.chat_template import Calls, ChatTemplate, Example, Turns, chat_template, fold_system_turns
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.settings import PromptSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NOTHING = re.compile("(?!)")
_PLAIN_CHAT: Turns = [
    {"role": "user", "content": "-"},
    {"role": "assistant", "content": "-"},
    {"role": "user", "content": "-"},
]


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row's n tokens: the prompt, the lead, the response with its end."""

    example: Example
    tokens: list[int]  # (n,)
    learnt_from: int  # in [0, n]: tokens from here on are what the model has to write
    scored_from: int  # in [learnt_from, n]: tokens from here on hold the response and its end
    special_text: bool = False  # the row's own text names special tokens, which are text here
    truncated: bool = False  # the middle of the prompt was cut out
    turn_not_written: bool = False  # the template leaves out or rewrites the text of a turn


@dataclass(frozen=True, slots=True)
class RowEncoder:
    """Writes rows in one prompt format of one tokenizer."""

    tokenizer: "PreTrainedTokenizerBase"
    settings: PromptSettings
    template: ChatTemplate | None  # None: plain prompts
    special_tokens: re.Pattern[str]
    begin_text: str  # of plain prompts
    end_text: str

    @property
    def prompt_format(self) -> Literal["chat", "plain"]:
        """What `auto` came to."""
        return "plain" if self.template is None else "chat"

    def notes(self) -> list[str]:
        """Return what a person should know of the chat template, a sentence each."""
        return self.template.notes() if self.template else []

    def example(self, instance: ChatInstance) -> Example:
        """Return the text of a row.

        chat: the tokenizer's chat template over the turns and the response. plain: the prompt and a newline (a
        beginning-of-text token before them where the tokenizer adds one), the response, the end-of-text token.

        Raises:
            RefusedRowError: the chat template refuses the row or rewrites it.
            TrainingError: `messages` is no list of turns.
        """
        return self._written(*self._parts(instance))

    def encode(self, instance: ChatInstance) -> EncodedRow:
        """Return the tokens of a row, all of them.

        Raises:
            RefusedRowError: the chat template refuses the row or rewrites it, or a special token in its text cannot be
                told from one that the template writes.
            TrainingError: `messages` is no list of turns.
        """
        parts = self._parts(instance)
        example = self._written(*parts)
        special = self._names_special_tokens(parts)
        marked = self._written(*self._mark(parts)) if special else example
        if special and _without_marks(marked) != example:
            raise RefusedRowError("the chat template changes a special token in its text")
        prompt = self._tokens(marked.prompt, special)
        whole = self._tokens(marked.context + marked.continuation, special)
        if whole[: len(prompt)] != prompt:  # a token of the whole spans the border: none does when the model is asked
            whole = prompt + self._tokens_after(marked.lead + marked.continuation, special)
        learnt_from = max(1, len(prompt))  # the first token of a text has nothing to be predicted from
        return EncodedRow(
            example,
            whole,
            learnt_from,
            self._scored_from(marked, whole, learnt_from, special),
            special,
            turn_not_written=self.template is not None
            and not all(text in example.context for text in _texts(parts[0])),
        )

    def end_tokens(self, row: EncodedRow) -> int:
        """Return how many of a row's last tokens are the end of its turn or text."""
        return len(self._tokens_after(row.example.end, False))

    def cut(self, row: EncodedRow, instance: ChatInstance, room: int) -> EncodedRow:
        """Return the row with `room` tokens of prompt at most, 1 or more.

        The middle goes: what the template writes before the first user's text stays (the beginning-of-text token alone
        where that takes more than half of the room), and so does the end, which stands next to the response.
        """
        lost = row.learnt_from - room
        if lost <= 0:
            return row
        prompt = row.tokens[: row.learnt_from]
        begins = int(prompt[:1] == [self.tokenizer.bos_token_id])
        head = next(size for size in (max(begins, self._head(row, instance)), begins, 0) if 2 * size <= room)
        return replace(
            row,
            tokens=row.tokens[:head] + row.tokens[head + lost :],
            learnt_from=room,
            scored_from=row.scored_from - lost,
            truncated=True,
        )

    def _written(self, turns: Turns, response: str, tools: Calls | None, calls: Calls | None) -> Example:
        if self.template is not None:
            return self.template.example(turns, response, tools, calls)
        if tools or calls or any(turn.get("tool_calls") for turn in turns):
            raise RefusedRowError("plain prompts hold no tools and no calls of them")
        return Example(f"{self.begin_text}{turns[-1]['content']}\n", "", response, self.end_text)

    def _parts(self, instance: ChatInstance) -> tuple[Turns, str, Calls | None, Calls | None]:
        """Return the turns before the response, its text, the tools that are offered, and those it calls."""
        asked: Turns = [{"role": "user", "content": instance.prompt}]
        if instance.messages is None:
            return asked, instance.response, None, None
        chat = _read_chat(instance)
        turns = fold_system_turns(chat.turns) if self.settings.system_turns == "fold" else chat.turns
        if self.template is None:  # the prompt says what the turns say, but for their calls
            turns = [*(turn for turn in turns if turn.get("tool_calls")), *asked]
        return turns, chat.said_by(instance.response), chat.tools, chat.tool_calls

    def _names_special_tokens(self, texts: Any) -> bool:
        from transformers.utils.chat_template_utils import mark_control_tokens

        return self._mark(texts) != mark_control_tokens(texts, _NOTHING)

    def _mark(self, texts: Any) -> Any:
        """Return texts in which special tokens stand between transformers' private marks."""
        from transformers.utils.chat_template_utils import mark_control_tokens

        return mark_control_tokens(texts, self.special_tokens)

    def _tokens(self, text: str, marked: bool) -> list[int]:
        if not marked:
            return self.tokenizer.encode(text, add_special_tokens=False)
        from transformers.utils.chat_template_utils import encode_marked_chat

        try:
            return encode_marked_chat(self.tokenizer, text)
        except ValueError as error:
            raise RefusedRowError(f"a special token in its text cannot be written as text: {error}") from error

    def _tokens_after(self, text: str, marked: bool) -> list[int]:
        """Return the tokens of a text that follows others: SentencePiece would put a space before a text of its own."""
        line_break, tokens = self._tokens("\n", False), self._tokens("\n" + text, marked)
        joined = tokens[: len(line_break)] != line_break
        return self._tokens(text, marked) if joined else tokens[len(line_break) :]

    def _scored_from(self, example: Example, whole: Sequence[int], learnt_from: int, special: bool) -> int:
        """Return where the response begins; a token that it shares with white space before it belongs to it."""
        for context in (example.context, example.context.rstrip()) if example.lead else ():
            tokens = self._tokens(context, special)
            if len(tokens) >= learnt_from and whole[: len(tokens)] == tokens:
                return len(tokens)
        return learnt_from

    def _head(self, row: EncodedRow, instance: ChatInstance) -> int:
        """Return how many tokens the template writes before the first user's text; of a plain prompt its beginning."""
        opening = self.begin_text
        if self.template is not None:
            turns, _, tools, _ = self._parts(instance)
            if row.special_text:
                turns, tools = self._mark([turns, tools])
            opening = self.template.opening(turns, tools)
        for text in (opening, opening.rstrip()):
            tokens = self._tokens(text, row.special_text)
            if row.tokens[: len(tokens)] == tokens:
                return len(tokens)
        return 0


def row_encoder(tokenizer: "PreTrainedTokenizerBase", settings: PromptSettings) -> RowEncoder:
    """Return the way in which settings write rows for a tokenizer.

    Raises:
        TrainingError: chat is wanted without a chat template, no text can be ended, or the template is not fit.
    """
    has_template = bool(tokenizer.chat_template)
    if settings.prompt_format == "chat" and not has_template:
        raise TrainingError('prompt_format "chat" needs a tokenizer with a chat template; set it to "plain" or "auto"')
    end_text = _end_text(tokenizer)
    chat = settings.prompt_format != "plain" and has_template
    if not chat and settings.system_turns != "keep":
        raise TrainingError(
            'system_turns "fold" needs a tokenizer with a chat template: plain prompts have no turns; set it to "keep"'
        )
    template = chat_template(tokenizer, settings, end_text) if chat else None
    return RowEncoder(
        tokenizer=tokenizer,
        settings=settings,
        template=template,
        special_tokens=_special_tokens(tokenizer, template),
        begin_text=_begin_text(tokenizer),
        end_text=end_text,
    )


def _special_tokens(tokenizer: "PreTrainedTokenizerBase", template: ChatTemplate | None) -> re.Pattern[str]:
    """Return the special tokens, and added ones that the template writes around the turns of a plain chat."""
    try:
        chat = template.render(_PLAIN_CHAT) if template else ""
    except RefusedRowError:
        chat = ""
    added = cast("list[Any]", list(tokenizer.added_tokens_decoder.values()))
    names = {token.content for token in added if token.special or (token.content in chat and token.content.strip())}
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest_first)) or _NOTHING.pattern)


def _texts(turns: Turns) -> list[str]:
    """Return what turns say; a template may trim it."""
    return [turn["content"].strip() for turn in turns if isinstance(turn.get("content"), str)]


def _without_marks(example: Example) -> Example:
    from transformers.utils.chat_template_utils import mark_control_tokens

    marks = re.compile("[" + mark_control_tokens("-", re.compile("-")).replace("-", "") + "]")
    return Example(*(marks.sub("", part) for part in (example.prompt, example.lead, example.response, example.end)))


def _read_chat(instance: ChatInstance) -> StoredChat:
    try:
        return parse_stored(instance.messages or "")
    except json.JSONDecodeError as error:
        raise TrainingError(f"instance {instance.id!r}: messages must be JSON ({error})") from error
    except ValueError as error:
        raise TrainingError(f"instance {instance.id!r}: {error}") from error


def _end_text(tokenizer: "PreTrainedTokenizerBase") -> str:
    if not tokenizer.eos_token:
        raise TrainingError("the tokenizer has no end-of-text token (eos_token), so no response could end; set one")
    return str(tokenizer.eos_token)


def _begin_text(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return the beginning-of-text token's text where the tokenizer begins every text with it, else nothing."""
    adds = tokenizer.bos_token is not None and tokenizer.encode("-")[:1] == [tokenizer.bos_token_id]
    return str(tokenizer.bos_token) if adds else ""
