"""The settings of sources and of the validation split; light to import, since the code location loads them."""

from typing import Annotated, Literal

from pydantic import Field

from smart_assets.core.section import Section

_ColumnName = Annotated[str, Field(min_length=1)]


class Columns(Section):
    """Names of the columns (or JSON keys) that hold each field of an instance.

    A field left at its default is also found under FLAN's names (`inputs`, `targets`, `task_name`, `template_type`)
    and BIG-Bench Hard's (`input`, `target`); a name that was set is taken at its word.
    """

    prompt: _ColumnName = Field(default="prompt", description="Column of the prompt.")
    response: _ColumnName = Field(default="response", description="Column of the response.")
    template: _ColumnName = Field(default="template", description="Column naming the prompt template; may be absent.")
    task: _ColumnName | None = Field(
        default=None,
        description="Column naming the task; without it the file's name (folder) or the dataset's name (hub).",
    )
    messages: _ColumnName = Field(
        default="messages",
        description="Column of a chat, a list of {role, content}; read where prompt or response is absent.",
    )


class FolderSource(Section):
    """A folder of task files: JSONL, JSON, CSV or Parquet, found recursively."""

    kind: Literal["folder"] = Field(default="folder", description="A folder of task files.")
    path: str = Field(min_length=1, description="The folder, relative to the project's root or absolute.")
    columns: Columns = Field(default=Columns(), description="Names of the columns.")
    task_prefix: str = Field(default="", description="Put before each task name, to keep sources apart.")
    license: str | None = Field(default=None, description="Licence of the rows, recorded with them.")
    max_line_bytes: int = Field(
        default=20_000_000, ge=1, le=2**31 - 1, description="A longer line of a JSONL or CSV file is rejected, unread."
    )


class HuggingFaceSource(Section):
    """A dataset of the Hugging Face hub, or a local folder in its layout. Code in the dataset is never run."""

    kind: Literal["huggingface"] = Field(default="huggingface", description="A dataset of the Hugging Face hub.")
    path: str = Field(min_length=1, description="Name on the hub, or a folder if one of that path exists.")
    name: str | None = Field(default=None, min_length=1, description="Configuration (subset) of the dataset.")
    split: str = Field(default="train", min_length=1, description="Split to read.")
    revision: str | None = Field(
        default=None, min_length=1, description="Commit, tag or branch; always resolved to a commit, which is recorded."
    )
    columns: Columns = Field(default=Columns(), description="Names of the columns.")
    task_prefix: str = Field(default="", description="Put before each task name, to keep sources apart.")
    license: str | None = Field(default=None, description="Licence of the rows, recorded with them.")


Source = Annotated[FolderSource | HuggingFaceSource, Field(discriminator="kind")]


class Validation(Section):
    """How much of each task is held out, and which prompts are too close to part."""

    fraction: float = Field(default=0.1, ge=0, le=0.5, description="Share of the near-duplicate clusters held out.")
    max_rows_per_task: int = Field(
        default=100, ge=0, description="Validation rows of a task at most; never more than half of its rows either."
    )
    similarity: float = Field(
        default=0.8, gt=0, le=1, description="Estimated Jaccard similarity from which two prompts are near duplicates."
    )
