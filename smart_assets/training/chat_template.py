"""A tokenizer's chat template as rows go through it: the text it writes of a chat, split where a model takes over.

A row is rendered up to the generation prompt (what a model is given when it is asked), with its response (what is
taught), and with a mark in the response's place. From these three its text is cut into parts that are the template's
own: nothing is joined by hand, so a template that trims, opens a channel or an empty thought before the answer, or has
no generation prompt, is taught as it stands. A row that the template refuses or rewrites is refused with the reason.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from smart_assets.core.errors import RefusedRowError, TrainingError
from smart_assets.training.settings import PromptSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turns = list[dict[str, Any]]
"""Chat turns, each with `role` and `content`, and `tool_calls` where they call tools."""
Calls = list[dict[str, Any]]
"""Tools or calls of them, each with a `function` that has a `name`."""

# Capitals, quotes, an ampersand and a bracket: a template that changes case or escapes is found out by it.
_MARK = 'Mark <of> & "the" Response'
_RENDERINGS = 8
_DIRECTIVES = [f"%{dash}{letter}" for letter in "aAbBcdDeFGHIjklmMpPrRSTuUVwWxXyY" for dash in ("", "-")]
_SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Example:
    """A row's text in parts, one after another."""

    prompt: str  # what the model is given: all up to the generation prompt, which is included
    lead: str  # what the template writes between the generation prompt and the response: learnt, not scored
    response: str  # as the template writes it: it may lack white space at its ends
    end: str  # the end of the turn or of the text: learnt and scored

    @property
    def context(self) -> str:
        """All that stands before the response."""
        return self.prompt + self.lead

    @property
    def continuation(self) -> str:
        """The response and its end."""
        return self.response + self.end


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A template whose clock stands still."""

    tokenizer: "PreTrainedTokenizerBase"
    source: str  # Jinja
    end_text: str  # written after a response where the template writes nothing

    def example(
        self, turns: Turns, response: str, tools: Calls | None = None, tool_calls: Calls | None = None
    ) -> Example:
        """Return the template's own text of a chat, in parts.

        Args:
            turns: before the response.
            response: its text.
            tools: that the model is offered.
            tool_calls: that the response makes beside its text; they are learnt with it.

        Raises:
            RefusedRowError: the template refuses the turns, does not write tools or calls of them, or changes more of
                the response than the white space at its ends.
        """
        prompt = self.render(turns, tools=tools, generation_prompt=True)
        self._require_tools(turns, tools, prompt)
        before, after = self._around_response(turns, tools)
        whole = self.render([*turns, _answer(response, tool_calls)], tools=tools)
        # A response may bring its own lead, such as a thought: the template then writes none.
        starts = [before, prompt] if before.startswith(prompt) else [before]
        given = prompt if before.startswith(prompt) else before
        for start in starts:
            written = _between(whole, start, after)
            if written is None:
                continue
            if tool_calls:
                self._require_calls(turns, response, tools, whole, written, tool_calls)
            elif written.strip() != response.strip():
                continue
            return Example(given, start[len(given) :], written, after.rstrip() or self.end_text)
        raise RefusedRowError("the chat template rewrites its response")

    def notes(self) -> list[str]:
        """Return what a person should know of how it writes a response, a sentence each."""
        asked = [{"role": "user", "content": "-"}]
        try:
            prompt, (before, after) = self.render(asked, generation_prompt=True), self._around_response(asked)
        except RefusedRowError:
            return []
        notes: list[str] = []
        if not before.startswith(prompt):
            notes.append(
                f"the generation prompt of the chat template ends in {prompt[-40:]!r}, a chat with a response goes on "
                f"after {before[-40:]!r}: the latter is taught, so that a model is asked otherwise than it was taught"
            )
        elif before[len(prompt) :].strip():
            notes.append(f"the chat template writes {before[len(prompt) :]!r} before a response: learnt, not scored")
        if not after.strip():
            notes.append(f"the chat template ends no response: {self.end_text!r} is put there")
        return notes

    def opening(self, turns: Turns, tools: Calls | None = None) -> str:
        """Return what the template writes before the text of the first user turn; nothing where there is none."""
        first = next((place for place, turn in enumerate(turns) if turn.get("role") == "user"), None)
        if first is None:
            return ""
        marked = [*turns[:first], {**turns[first], "content": _MARK}, *turns[first + 1 :]]
        return self.render(marked, tools=tools, generation_prompt=True).partition(_MARK)[0]

    def render(self, turns: Turns, *, tools: Calls | None = None, generation_prompt: bool = False) -> str:
        """Return the text of some turns. Arguments of calls are objects, or JSON for a template that wants a text.

        Raises:
            RefusedRowError: the template refuses them; the message is its own.
        """
        try:
            return self._rendered(turns, tools, generation_prompt)
        except RefusedRowError:
            as_texts = _with_arguments_as_texts(turns)
            if as_texts == turns:
                raise
            return self._rendered(as_texts, tools, generation_prompt)

    def _rendered(self, turns: Turns, tools: Calls | None, generation_prompt: bool) -> str:
        from jinja2 import TemplateError

        tokenizer: Any = self.tokenizer
        try:
            return tokenizer.apply_chat_template(
                turns, tools=tools, chat_template=self.source, add_generation_prompt=generation_prompt, tokenize=False
            )
        except (TemplateError, TypeError, LookupError, ValueError) as error:
            raise RefusedRowError(f"the chat template refuses its turns: {' '.join(str(error).split())}") from error

    def _require_tools(self, turns: Turns, tools: Calls | None, prompt: str) -> None:
        """Refuse turns of which the template leaves out tools or calls: the model would be taught without them."""
        if tools and not (_named_in(prompt, tools) and self._differs(prompt, turns, None, True)):
            raise RefusedRowError("the chat template does not write its tools")
        calls = [call for turn in turns for call in turn.get("tool_calls", ())]
        if calls:
            bare = [{name: value for name, value in turn.items() if name != "tool_calls"} for turn in turns]
            if not (_named_in(prompt, calls) and self._differs(prompt, bare, tools, True)):
                raise RefusedRowError("the chat template does not write its tool calls")

    def _require_calls(
        self, turns: Turns, response: str, tools: Calls | None, whole: str, written: str, calls: Calls
    ) -> None:
        written_all = response.strip() in written and _named_in(written, calls)
        if not (written_all and self._differs(whole, [*turns, _answer(response)], tools, False)):
            raise RefusedRowError("the chat template does not write its tool calls")

    def _differs(self, text: str, turns: Turns, tools: Calls | None, generation_prompt: bool) -> bool:
        """Return whether a text is another one than that of these turns, which the template may refuse."""
        try:
            return text != self.render(turns, tools=tools, generation_prompt=generation_prompt)
        except RefusedRowError:
            return True

    def _around_response(self, turns: Turns, tools: Calls | None = None) -> tuple[str, str]:
        parts = self.render([*turns, _answer(_MARK)], tools=tools).split(_MARK)
        if len(parts) != 2:
            raise RefusedRowError("the chat template rewrites its response")
        return parts[0], parts[1]


def chat_template(tokenizer: "PreTrainedTokenizerBase", settings: PromptSettings, end_text: str) -> ChatTemplate:
    """Return the template of a tokenizer, found fit for training.

    Raises:
        TrainingError: the tokenizer has several without a default, or the template writes another text each time, or
            not the response as it stands.
    """
    try:
        source = tokenizer.get_chat_template()
    except ValueError as error:
        raise TrainingError(f'its chat template cannot be chosen ({error}); set prompt_format to "plain"') from error
    template = ChatTemplate(tokenizer, pin_clock(source, settings.template_date), end_text)
    asked = [{"role": "user", "content": "-"}]
    try:
        texts = {template.render([*asked, _answer(_MARK)]) for _ in range(_RENDERINGS)}
    except RefusedRowError:
        return template  # it wants other turns: rows will tell
    if len(texts) > 1:
        raise TrainingError(
            "the chat template writes another text each time it is asked, so that no fine-tune could be repeated; "
            'set prompt_format to "plain", or take the randomness out of the template'
        )
    if texts.pop().count(_MARK) != 1:
        raise TrainingError(
            "the chat template does not write a response as it stands, so that its text cannot be split into what is "
            'read and what is learnt; set prompt_format to "plain"'
        )
    return template


def fold_system_turns(turns: Turns) -> Turns:
    """Return the turns with the leading system turns' text before the first user turn's, a blank line between them."""
    leading = next((place for place, turn in enumerate(turns) if turn.get("role") not in _SYSTEM_ROLES), len(turns))
    if not leading or leading == len(turns) or turns[leading].get("role") != "user":
        return turns
    texts = [str(turn.get("content") or "") for turn in turns[: leading + 1]]
    return [{**turns[leading], "content": "\n\n".join(texts)}, *turns[leading + 1 :]]


def pin_clock(source: str, day: date) -> str:
    """Return a template in which `strftime_now` gives the start of a day: a macro of that name stands before it."""
    if "strftime_now" not in source:
        return source
    moment = datetime.combine(day, time())
    # The value of a directive holds no `%`, so that one replacement does not feed the next.
    values = "".join(f"|replace({directive!r}, {moment.strftime(directive)!r})" for directive in _DIRECTIVES)
    kept = "\n" if source.startswith("\n") else ""  # Jinja drops the line break after a block
    return f"{{% macro strftime_now(format) %}}{{{{ format{values} }}}}{{% endmacro %}}{kept}{source}"


def _answer(text: str, calls: Calls | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}


def _named_in(text: str, functions: Calls) -> bool:
    return all(str(function["function"]["name"]) in text for function in functions)


def _with_arguments_as_texts(turns: Turns) -> Turns:
    def as_text(call: dict[str, Any]) -> dict[str, Any]:
        arguments = call["function"].get("arguments")
        if not isinstance(arguments, (dict, list)):
            return call
        return {**call, "function": {**call["function"], "arguments": json.dumps(arguments, ensure_ascii=False)}}

    return [
        {**turn, "tool_calls": [as_text(call) for call in turn["tool_calls"]]} if turn.get("tool_calls") else turn
        for turn in turns
    ]


def _between(whole: str, start: str, end: str) -> str | None:
    fits = whole.startswith(start) and whole.endswith(end) and len(whole) >= len(start) + len(end)
    return whole[len(start) : len(whole) - len(end)] if fits else None
