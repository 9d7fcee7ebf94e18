"""What a kind of source is: its settings, and all that the product asks of it.

A kind is one class and one entry in `sources.KINDS`. The code location loads its settings, so what reads rows is
imported where it is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from smart_assets.core.section import Section, added_setting
from smart_assets.tasks.kept_names import names_of, require_usable
from smart_assets.tasks.licences import Licences
from smart_assets.tasks.prompt_template import columns_of

if TYPE_CHECKING:
    from smart_assets.tasks.raw_rows import BadRow, RawRow
    from smart_assets.tasks.row_shape import FieldNames

REVISION = "revision"
"""The name under which manifests keep the revision of a source that is not read file by file."""

_OWN_NAMES = ("prompt", "response", "template", "messages")  # fields that recognize a column of their own name
_ColumnName = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when reading it began."""

    path: str  # relative to the source, "/" between its parts
    sha256: str  # "" where it cannot be read, or changed while it was read
    bytes: int
    task: str | None = None  # the task that the file's name gives to rows which name none, where there may be any


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are read one after the other: those of a file, or of a whole dataset."""

    name: str  # the `file` that the origins of its rows give
    default_task: str  # of rows that name none, where the settings name no column of tasks
    rows: "Callable[[FieldNames], Iterator[RawRow | BadRow]]"
    file: SourceFile | None = None  # None where its rows are of no one file
    group: str = ""  # parts of one group give one default task, which those of two may not; "": a group of its own
    is_unchanged: Callable[[], bool] = lambda: True  # whether nothing touched the file since it was hashed


@dataclass(frozen=True, slots=True)
class NotRead:
    """A file or folder of a source of which nothing is read."""

    name: str  # relative to the source; of a folder with "/" at its end
    reason: str  # with what to do about it, in the same words for all files of a kind, so that they can be counted


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A source at one moment: what its rows depend on, and the way to them. No row is read yet."""

    parts: tuple[Part, ...]
    files: tuple[SourceFile, ...] = ()  # sorted by path
    revision: str | None = None  # where no files are known by hash
    not_read: tuple[NotRead, ...] = ()  # sorted by name
    names: Mapping[str, str] = field(
        default_factory=dict[str, str]
    )  # what files' names say beyond a task by the stem of each
    held: object = None  # what must live as long as the rows are read, such as a folder of copies


@dataclass(frozen=True, slots=True)
class Origin:
    """The place that a row was read from: a line of a file, or an index of a dataset."""

    file: str | None = None  # relative to its source's folder
    line: int | None = None  # from 1
    dataset: str | None = None
    revision: str | None = None
    index: int | None = None  # from 0

    @property
    def in_words(self) -> str:
        """The place as people read it."""
        if self.dataset is not None:
            revision = f" at {self.revision}" if self.revision else ""
            return f"dataset {self.dataset}{revision}, index {self.index}"
        return f"file {self.file}, line {self.line}" if self.file is not None else "its place was not recorded"


@dataclass(frozen=True, slots=True)
class PublicDataset:
    """A dataset that others can fetch."""

    name: str
    host: str  # in words
    url: str
    subset: str | None  # its configuration
    split: str | None
    card_id: str | None  # the id by which cards of the Hugging Face hub name it


class Columns(Section):
    """Names of the columns (or JSON keys) that hold each field of an instance.

    What is not set is recognized by the names of the columns (`layouts.LAYOUTS`). A name that was set is taken at its
    word: a null in it is a missing value.
    """

    prompt: _ColumnName | Annotated[tuple[_ColumnName, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Column of the prompt, or several: their texts with blank lines between, without those that are "
        "blank after the first. Without it what is recognized.",
    )
    prompt_template: str | None = Field(
        default=None,
        description="The prompt as a text with names of columns in braces: `{instruction}\\n\\n{input}`. Nothing but a "
        "name stands in braces; `{{` is a brace.",
    )
    response: _ColumnName | None = Field(
        default=None, description="Column of the response; without it what is recognized."
    )
    template: _ColumnName | None = Field(
        default=None,
        description="Column naming the prompt template; without it `template` or FLAN's, where there is one.",
    )
    task: _ColumnName | None = Field(
        default=None,
        description="Column naming the task; without it the file's name (folder) or the dataset's name (hub).",
    )
    messages: _ColumnName | None = Field(
        default=None, description="Column of a chat, a list of {role, content}; without it what is recognized."
    )
    keep: tuple[_ColumnName, ...] | dict[_ColumnName, _ColumnName] = added_setting(
        (),
        "Columns whose values are kept with each row, outside its id: a list of them, or their columns by the names "
        "under which they are kept.",
    )

    @field_validator("prompt_template")
    @classmethod
    def _names_columns(cls, value: str | None) -> str | None:
        if value is not None:
            columns_of(value)
        return value

    @field_validator("keep")
    @classmethod
    def _names_of_kept_are_free(cls, value: tuple[str, ...] | dict[str, str]) -> tuple[str, ...] | dict[str, str]:
        if value:
            require_usable(value)
        return value

    @model_validator(mode="after")
    def _has_one_prompt(self) -> Self:
        if self.prompt is not None and self.prompt_template is not None:
            raise ValueError("`prompt` and `prompt_template` both say what the prompt is: leave one of them out")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that are set."""
        single = (self.response, self.template, self.task, self.messages)
        return tuple(filter(None, (*self.prompt_columns, *single, *self.kept.values())))

    @property
    def prompt_columns(self) -> tuple[str, ...]:
        """The columns that the prompt is made of; none where the settings do not say."""
        if self.prompt_template is not None:
            return columns_of(self.prompt_template)
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt or ()

    @property
    def kept(self) -> dict[str, str]:
        """The columns that are kept by the names under which they are."""
        return names_of(self.keep)

    def recorded(self) -> dict[str, Any]:
        """Return the names as manifests have always recorded them: one that is not set as its field's own.

        So what was made before names could be unset stays current; `set` tells those that were set to just that.
        """
        names = self.model_dump(mode="json")
        unset = {field for field in _OWN_NAMES if names[field] is None}
        same = sorted(field for field in _OWN_NAMES if names[field] == field)
        if names["prompt_template"] is None:
            del names["prompt_template"]
        return {**names, **{field: field for field in unset}, **({"set": same} if same else {})}


def recorded_columns(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a manifest's record of names came from."""
    same = names.get("set", ())
    return {
        field: value
        for field, value in names.items()
        if field != "set" and not (field in _OWN_NAMES and value == field and field not in same)
    }


class SourceKind(Section, ABC):
    """One source under the settings of its kind. A kind adds the field `kind`, a `Literal` with a default."""

    columns: Columns = Field(default=Columns(), description="Names of the columns.")
    task_prefix: str = Field(default="", description="Put before each task name, to keep sources apart.")
    license: str | None = Field(default=None, description="Licence of the rows, recorded with them.")
    licences: Licences | None = added_setting(
        None, "The licences that rows may have; rows of others are refused. Without it any."
    )

    by_file: ClassVar[bool] = False
    """Whether each part is a file, so that files that did not change need not be read again."""
    where: ClassVar[str]
    """Where its rows lie, in a word or two, for documents that count no files of it."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The name of the source in messages, and of a source that is read as a whole in origins."""

    @abstractmethod
    def snapshot(self, root: Path, memory: Path | None = None) -> Snapshot:
        """Look at the source as it is now.

        Args:
            root: What paths are relative to.
            memory: A file in which hashes are remembered between processes; it need not exist.

        Raises:
            SourceError: The source is missing or cannot be reached, or a file in it cannot be examined.
        """

    @abstractmethod
    def is_local(self, root: Path) -> bool:
        """Return whether reading it needs no network."""

    @property
    def only_task(self) -> str | None:
        """The task of all its rows, where its settings alone say so; None elsewhere."""
        return None

    def state(self, root: Path, memory: Path | None = None) -> dict[str, str]:
        """Return what of the outside world its rows depend on: they are read again only when this changes.

        That is the SHA-256 of each file by its path, or the revision under REVISION.

        Raises:
            SourceError: As `snapshot`.
        """
        snapshot = self.snapshot(root, memory)
        return outside_of(snapshot.files, snapshot.revision)

    def last_change(self, root: Path) -> datetime | None:
        """Return when a file or folder of it last changed in any way; None where that is not known without reading.

        It is the time at which the change came to this disk: copies that keep the times of their originals count as
        changed now. Whoever sees a change of this moment may wait for the rest of a file.

        Raises:
            SourceError: As `snapshot`.
        """
        return None

    def anchored(self, root: Path) -> Self:
        """Return the same source for a program that does not know the project: local paths are absolute."""
        return self

    def parameters(self) -> dict[str, Any]:
        """Return the settings that decide its rows, as manifests record them."""
        return self._recorded({"license"})

    def _recorded(self, exclude: set[str]) -> dict[str, Any]:
        """Return the settings but for some, as manifests record them."""
        decides = set[str]() if self.licences is None else {"license"}  # of rows that name none
        return {**self.model_dump(mode="json", exclude=exclude - decides), "columns": self.columns.recorded()}

    def parameters_without_place(self, root: Path) -> dict[str, Any]:
        """Return the settings that decide its rows wherever its files lie."""
        return self.parameters()

    def local_file(self, root: Path, name: str) -> Path | None:
        """Return where a file of its state lies on this machine; None where it has none here."""
        return None

    def public_dataset(self, revision: str | None) -> PublicDataset | None:
        """Return the dataset that others can fetch, as it was read at a revision; None where there is none."""
        return None

    def whole_name(self, revision: str | None) -> str:
        """Return the `file` in the origins of a source that is read as a whole."""
        return f"{self.label}@{revision}" if revision else self.label

    def place_of(self, file: str | None, line: int | None, revision: str | None) -> Origin:
        """Return where a row came from.

        Args:
            file: As its origin gives it; None where no origin is recorded.
            line: Likewise.
            revision: That was read, where the source is known by one.
        """
        if self.by_file:
            return Origin(file=file, line=line)
        return Origin(dataset=self.label, revision=revision, index=line)

    def why_unknown(
        self, file: str, hashes: Mapping[str, str], revision: str | None, outside: Mapping[str, str]
    ) -> str | None:
        """Return why the content that a row was read from is not pinned by a hash or a revision; None where it is.

        Args:
            file: That the row's origin gives.
            hashes: The SHA-256 of each file that was read, by its path.
            revision: That was read.
            outside: The state that the manifest records.
        """
        if revision:
            return None if file == self.whole_name(revision) else f"{file!r} is not the revision that was read"
        if self.by_file or file != self.whole_name(None):
            return _why_file_unknown(file, hashes, outside)
        # The rows are of no one file, so all files must be known.
        if not hashes:
            return "the dataset's files were not recorded"
        return next((why for name in hashes if (why := _why_file_unknown(name, hashes, outside))), None)


def outside_of(files: Sequence[SourceFile], revision: str | None) -> dict[str, str]:
    """Return the state of a source as manifests record it."""
    return {REVISION: revision} if revision else hashes_of(files)


def hashes_of(files: Sequence[SourceFile]) -> dict[str, str]:
    """Return the SHA-256 of each file by its path."""
    return {file.path: file.sha256 for file in files}


def _why_file_unknown(file: str, hashes: Mapping[str, str], outside: Mapping[str, str]) -> str | None:
    if file not in hashes:
        return f"{file!r} is not among the files that were read"
    if not hashes[file]:
        return f"{file!r} has no hash: it changed while it was read, or could not be read"
    return None if outside.get(file) == hashes[file] else f"{file!r} has another hash in the manifest"
