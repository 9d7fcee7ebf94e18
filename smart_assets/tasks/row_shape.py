"""Which columns of a table, or keys of a JSON object, are read, and as what: the settings and the layouts together."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from smart_assets.tasks import layouts, reasons
from smart_assets.tasks.layouts import Layout
from smart_assets.tasks.licences import LicenceGate
from smart_assets.tasks.source_kind import Columns
from smart_assets.tasks.turns import is_nan
from smart_assets.tasks.unread import NO_LAYOUT

_ALL_RESPONSES = ("response", "output", "completion", "targets", "target", "answer")
_MOST_SHAPES = 1000  # remembered, so that rows with keys of their own cannot fill the memory
MOST_NAMED = 60
_NONE = Layout(NO_LAYOUT)


@dataclass(frozen=True, slots=True)
class Shape:
    """What is read of rows with one set of names; "" where there is no such column."""

    layout: Layout
    response: str = ""
    chat: str = ""
    chat_is_spare: bool = False  # the chat is read where prompt or response is null, and where it says more than they
    system: str = ""
    history: str = ""
    tools: str = ""
    liked: str = ""
    extra: tuple[str, ...] = ()
    second: tuple[str, ...] = ()  # not read where they repeat the prompt
    templates: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    prompt_template: str | None = None  # of the columns of the prompt
    refused: str | None = None  # why rows of these names hold no instance
    is_plain: bool = False  # prompt and response are a column each, and nothing else counts
    unread: tuple[str, ...] = ()  # sorted
    kept: tuple[tuple[str, str], ...] = ()  # name and column of what is kept beside the texts
    licences: tuple[str, ...] = ()  # columns of the row's licence

    @property
    def prompt(self) -> tuple[str, ...]:
        """The columns of the prompt."""
        return self.layout.prompt

    @property
    def is_usable(self) -> bool:
        """Whether rows of these names can hold instances."""
        return self.layout is not _NONE

    @property
    def beside(self) -> frozenset[str]:
        """The names that are read beside what makes an instance."""
        return frozenset({*self.templates, *self.tasks, *(column for _, column in self.kept), *self.licences})

    @property
    def read(self) -> frozenset[str]:
        """The names that are read."""
        single = filter(None, (self.response, self.chat, self.system, self.history, self.tools, self.liked))
        key = self.layout.needs if self.layout.is_tree else ()
        return frozenset({*key, *self.prompt, *self.extra, *single, *self.media, *self.beside})


class FieldNames:
    """The columns that the settings name, and those that are known by name where they name none."""

    def __init__(self, columns: Columns, licences: LicenceGate | None = None) -> None:
        self.task_required = columns.task is not None
        self._columns = columns
        self._kept = tuple(columns.kept.items())
        self._licences = () if licences is None else (licences.column,)
        self._tasks = layouts.TASKS if columns.task is None else (columns.task,)
        self._templates = layouts.TEMPLATES if columns.template is None else (columns.template,)
        self._shapes: dict[tuple[str, ...], Shape] = {}

    def wanted(self, names: Sequence[str]) -> list[str]:
        """Return those of a table's column names that are read, or none if they cannot make an instance.

        A name that stands twice cannot: which of the two is meant is anyone's guess.
        """
        shape = self.shape(tuple(names))
        wanted = [name for name in names if name in shape.read]
        lacks_task = self.task_required and not shape.tasks
        lacks_set = any(name not in names for name in shape.prompt)
        unusable = not shape.is_usable or lacks_task or lacks_set or len(set(wanted)) != len(wanted)
        return [] if unusable else wanted

    def why_unusable(self, names: Sequence[str]) -> str:
        """Return the reason why a table with these columns is refused as a whole."""
        refused = self.shape(tuple(names)).refused
        return refused if refused in (reasons.TEXT_ALONE, reasons.TOKENS) else reasons.FILE_NO_COLUMNS

    def seen(self) -> list[str]:
        """Return the columns of the first rows and tables that it was asked about, as far as they are few."""
        return list(dict.fromkeys(name for known in self._shapes for name in known))[:MOST_NAMED]

    def task(self, row: Mapping[str, object]) -> object:
        """Return the task that a row names, or None."""
        return named_by(row, self._tasks)

    def shape(self, names: tuple[str, ...]) -> Shape:
        """Return what is read of rows that have these names, null ones too."""
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shape(dict.fromkeys(names))
            if len(self._shapes) < _MOST_SHAPES:
                self._shapes[names] = shape
        return shape

    def _shape(self, names: Collection[str]) -> Shape:
        columns = self._columns
        layout = self._layout(names)
        used = {*layout.prompt, columns.response, columns.messages, columns.task, columns.template}
        spare_chat = self._spare_chat(layout, names)

        def first(known: Sequence[str]) -> str:
            return next((name for name in known if name in names and name not in used), "")

        chat = next((name for name in layout.chats if name in names), "") or spare_chat
        extra = tuple(name for name in layout.extra if name in names and name not in used)
        shape = Shape(
            layout,
            response=next((name for name in layout.responses if name in names), ""),
            chat=chat,
            chat_is_spare=bool(spare_chat),
            system=first(layouts.SYSTEMS),
            history=first((layout.history,)),
            liked=first((layouts.LIKED, layout.liked)),
            tools=first(layouts.TOOLS if chat else layouts.TOOLS[:1]),
            extra=extra,
            second=() if extra else tuple(name for name in layout.second if name in names and name not in used),
            templates=tuple(name for name in self._templates if name in names),
            tasks=tuple(name for name in self._tasks if name in names),
            media=tuple(name for name in layouts.media_of(names) if name not in used),
            prompt_template=columns.prompt_template,
            kept=tuple((name, column) for name, column in self._kept if column in names),
            licences=tuple(name for name in self._licences if name in names),
            refused=self._why_not(names) if layout is _NONE else None,
        )
        if layout is _NONE:
            return replace(shape, unread=_sorted({*names} - shape.beside))
        beside = (shape.chat, shape.system, shape.history, shape.tools, shape.liked, shape.extra, shape.media)
        more = (*beside, shape.prompt_template, layout.first_response, layout.calls, shape.second)
        plain = len(shape.prompt) == 1 and bool(shape.response) and not any(more)
        return replace(shape, is_plain=plain, unread=_sorted({*names} - shape.read))

    def _why_not(self, names: Collection[str]) -> str:
        prompt, response, chat = self._columns.prompt_columns, self._columns.response, self._columns.messages
        if prompt:
            return reasons.missing("response" if prompt[0] in names else "prompt")
        if response is not None:
            return reasons.missing("prompt" if response in names else "response")
        return layouts.why_not(names) if chat is None else reasons.missing("messages")

    def _layout(self, names: Collection[str]) -> Layout:
        """Return the layout that fits; what the settings name stands in the place of what it would take."""
        prompt, response, chat = self._columns.prompt_columns, self._columns.response, self._columns.messages
        if prompt:
            responses = _ALL_RESPONSES if response is None else (response,)
            layout = Layout(layouts.SETTINGS, prompt, responses=responses, history="history")
            if any(name in names for name in responses):
                return layout
            chats = layouts.CHATS if chat is None else (chat,)
            fits = (response is None or chat is not None) and any(name in names for name in chats)
            return Layout(layouts.SETTINGS, chats=chats) if fits else _NONE
        if response is not None:
            known = (replace(each, responses=(response,), calls=False) for each in layouts.LAYOUTS if each.responses)
            chats = layouts.CHATS if chat is None else (chat,)
            known = (replace(layout, chats=chats) if layout.chats else layout for layout in known)
            return next((layout for layout in known if layout.fits(names)), _NONE)
        if chat is not None:
            responses = () if "prompt" in names else layouts.BESIDE  # beside a prompt the response is that of it
            beside = Layout(layouts.SETTINGS, chats=(chat,), responses=responses)
            alone = Layout(layouts.SETTINGS, chats=(chat,))
            fitting = (layout for layout in (beside, alone) if layout.fits(names))
            return next(fitting, _NONE)
        return layouts.recognized(names) or _NONE

    def _spare_chat(self, layout: Layout, names: Collection[str]) -> str:
        """Return the chat that is read where a pair of prompt and response is not there; "" where there is none."""
        if layout.chats or not layout.prompt or layout.responses == ("chosen",):
            return ""
        if self._columns.messages is not None:
            return self._columns.messages if self._columns.messages in names else ""
        if self._columns.prompt_columns or self._columns.response is not None:
            return ""  # a null in a column that was set is a missing value
        return next((name for name in layouts.CHATS if name in names), "")


def named_by(row: Mapping[str, object], columns: Sequence[str]) -> object:
    """Return the first value that there is in some columns of names; what pandas writes for a missing one is none."""
    values = (row.get(name) for name in columns)
    return next((value for value in values if value is not None and not is_nan(value)), None)


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
