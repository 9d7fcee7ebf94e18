"""The shapes of rows that people have, each known by the names of its columns.

A layout is an entry in LAYOUTS. The first that fits the names of a table's columns, or the keys of a JSON object, says
which of them are read. What the settings name is put in the place of what a layout would take.
"""

from collections.abc import Collection
from dataclasses import dataclass

from smart_assets.tasks import reasons

CHATS = ("messages", "conversations", "conversation")
SYSTEMS = ("system", "system_prompt", "system_message")
LIKED = "kto_tag"
"""A column that says of a response in any layout whether people want it, as LLaMA-Factory's data has it."""
TOOLS = ("tools", "functions")
TEMPLATES = ("template", "template_type", "_template_type")
TASKS = ("task_name", "_task_name")
RESPONSES = ("response", "targets", "target")
BESIDE = ("response", "completion")
"""Responses beside a chat that is the prompt."""
MESSAGE = frozenset({"message_id", "parent_id", "text", "role"})
"""The columns of an OpenAssistant message that is a row of its own."""
TREE = "message_tree_id"
"""The column by which a row with a whole tree of such messages is known."""
_PAIRS = "preference pairs (`chosen` is the response)"
_TREES = "OpenAssistant (best-ranked path)"
_EXTRA = ("input", "context", "inputs", "query", "question", "problem", "passage", "document", "knowledge")
_QUESTIONS = (("question",), ("query",))  # of which no response goes without saying
_SECOND = ("prompt", "text")
_HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of one shape. A chat may stand in the place of a prompt, of a response, or of both."""

    name: str  # as people know it
    prompt: tuple[str, ...] = ()  # columns that make the prompt, all of them there, a blank line between their texts
    extra: tuple[str, ...] = ()  # columns that are added to it where they are there and not blank
    responses: tuple[str, ...] = ()  # names that the column of the response may have, the first that is there counts
    chats: tuple[str, ...] = ()  # likewise of a chat
    needs: frozenset[str] = frozenset()  # other columns by which it is known
    history: str = ""  # a column of pairs of a prompt and a response that came before
    second: tuple[
        str, ...
    ] = ()  # columns that repeat the prompt, put together; without `extra` they may be a part of it
    calls: bool = False  # the response is nothing but calls of tools
    liked: str = ""  # a column that says of a response whether people want it
    is_tree: bool = False  # the prompt is a tree of messages, the response in it
    first_response: bool = False  # the response may be a list, of which the first is read

    def fits(self, names: Collection[str]) -> bool:
        """Return whether rows with these columns have its shape."""
        return (
            all(name in names for name in (*self.prompt, *self.needs))
            and (not self.responses or any(name in names for name in self.responses))
            and (not self.chats or any(name in names for name in self.chats))
        )


LAYOUTS: tuple[Layout, ...] = (
    Layout(_TREES, prompt=("prompt",), needs=frozenset({TREE}), is_tree=True),
    Layout(_TREES, prompt=("text",), needs=MESSAGE, is_tree=True),
    Layout("Super-NaturalInstructions", prompt=("definition", "inputs"), responses=RESPONSES, first_response=True),
    Layout(
        "Super-NaturalInstructions",
        prompt=("definition", "input"),
        responses=("output", "outputs", *RESPONSES),
        first_response=True,
    ),
    Layout(
        "Alpaca",
        prompt=("instruction",),
        extra=_EXTRA,
        responses=("output", "response", "completion", "answer", "targets", "target"),
        history=_HISTORY,
        second=_SECOND,
    ),
    Layout(
        "prompt and response", prompt=("prompt",), extra=("input", "context"), responses=RESPONSES, history=_HISTORY
    ),
    Layout(
        "TRL unpaired preference",
        prompt=("prompt",),
        extra=("input", "context"),
        responses=("completion",),
        needs=frozenset({"label"}),
        liked="label",
    ),
    Layout("TRL prompt and completion", prompt=("prompt",), extra=("input", "context"), responses=("completion",)),
    Layout("prompt and output", prompt=("prompt",), extra=("input", "context"), responses=("output",)),
    Layout("P3", prompt=("inputs_pretokenized",), responses=("targets_pretokenized",)),
    Layout("FLAN", prompt=("inputs",), extra=("context",), responses=RESPONSES),
    Layout("BIG-Bench Hard", prompt=("input",), extra=("context",), responses=RESPONSES),
    Layout("input and output", prompt=("input",), extra=("context",), responses=("output", "completion")),
    Layout("OpenOrca", prompt=("question",), responses=("response", "output"), needs=frozenset({"system_prompt"})),
    Layout("question and response", prompt=("question",), extra=("context",), responses=("response",)),
    Layout("query and response", prompt=("query",), extra=("context",), responses=("response",), history=_HISTORY),
    Layout("xLAM function calling", prompt=("query",), responses=("answers",), needs=frozenset({"tools"}), calls=True),
    Layout(_PAIRS, prompt=("prompt",), responses=("chosen",), needs=frozenset({"rejected"})),
    Layout(
        _PAIRS,
        prompt=("instruction",),
        extra=_EXTRA,
        responses=("chosen",),
        needs=frozenset({"rejected"}),
    ),
    Layout(_PAIRS, prompt=("question",), responses=("chosen",), needs=frozenset({"rejected"})),
    Layout(_PAIRS, prompt=("input",), responses=("chosen",), needs=frozenset({"rejected"})),
    Layout(_PAIRS, chats=CHATS, responses=("chosen",), needs=frozenset({"rejected"})),
    Layout(_PAIRS, responses=("chosen",), needs=frozenset({"rejected"})),
    Layout("chat beside a response", chats=CHATS, responses=BESIDE),
    Layout("OpenAI messages", chats=("messages",)),
    Layout("ShareGPT", chats=("conversations", "conversation")),
    Layout("Glaive function calling", chats=("chat",)),
)

SETTINGS = "the columns that the settings name"
"""What is said in the place of a layout's name where the settings name prompt and response."""


def recognized(names: Collection[str]) -> Layout | None:
    """Return the layout of rows with these columns; None where they have none."""
    return next((layout for layout in LAYOUTS if layout.fits(names)), None)


def why_not(names: Collection[str]) -> str:
    """Return the reason why rows with these columns hold no instance, though nothing is set."""
    if any(name in names for name in ("input_ids", "tokens", "token_ids")):
        return reasons.TOKENS
    known = [layout for layout in LAYOUTS if not layout.needs and layout.prompt not in _QUESTIONS]
    has_prompt = any(name in names for layout in known for name in layout.prompt)
    if has_prompt:
        return reasons.missing("response")
    has_response = any(name in names for layout in LAYOUTS for name in layout.responses)
    return reasons.TEXT_ALONE if "text" in names and not has_response else reasons.missing("prompt")


def media_of(names: Collection[str]) -> tuple[str, ...]:
    """Return the columns that hold what is no text."""
    return tuple(name for name in names if name in reasons.MEDIA)
