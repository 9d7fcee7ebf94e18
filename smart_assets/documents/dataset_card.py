"""The card of a subset's folder (README.md) for the Hugging Face hub."""

from collections.abc import Sequence
from typing import Any

from smart_assets.core.formatting import count
from smart_assets.core.safe_text import escaped, markdown_table
from smart_assets.documents.subsets import SubsetRecord
from smart_assets.documents.terms import hub_licence, moment, software_version

CHATS = "chats"
"""The configuration of a folder that has nothing but chats: TRL takes `prompt` for something else beside them."""

_OF_CHATS = ("messages", "tools")
_FILES = [{"split": "train", "path": "data/train-*"}]
_SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
_MOST_TASKS = 200  # shown; the rest is counted


def dataset_card(subset: SubsetRecord, columns: Sequence[str]) -> str:
    """Return markdown after the YAML that `datasets.load_dataset` and the hub read; holds no prompt and no response.

    Args:
        subset: what the rows are.
        columns: of their file.
    """
    from huggingface_hub import DatasetCardData

    metadata = DatasetCardData(
        pretty_name=subset.name,
        size_categories=_size(subset.rows.num_rows),
        tags=["instruction-tuning", "data-mixture", "croissant"],
        **_licence(subset),
        configs=[
            {"config_name": "default", "data_files": _FILES},
            {"config_name": CHATS, "data_files": _FILES, "columns": [name for name in columns if name in _OF_CHATS]},
        ],
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{_body(subset)}"


def sources_table(subset: SubsetRecord) -> str:
    """Return the sources of the rows: what each gave, its licence and its version."""
    return markdown_table(
        ["source", "rows", "tasks", "licence", "version", "files"],
        (
            [
                source.label,
                source.rows,
                source.tasks,
                source.licence or "not known",
                source.revision or source.version,
                len(source.files) or source.where,
            ]
            for source in subset.sources
        ),
    )


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES if rows < bound), "n>1M")


def _licence(subset: SubsetRecord) -> dict[str, Any]:
    ids = sorted({hub_licence(source.licence) for source in subset.sources})
    others = sorted({str(source.licence) for source in subset.sources if hub_licence(source.licence) == "other"})
    return {"license": ids[0] if len(ids) == 1 else ids} | ({"license_name": "; ".join(others)} if others else {})


def _body(subset: SubsetRecord) -> str:
    tasks = list(subset.tasks.items())
    more = f"\n\nand {count(len(tasks) - _MOST_TASKS, 'more task')}." if len(tasks) > _MOST_TASKS else ""
    return f"""# {escaped(subset.name)}

{count(subset.rows.num_rows, "row")} of {count(len(tasks), "task")} for instruction tuning, selected by the recipe
`{subset.recipe}` for a budget of {count(subset.budget, "row")}. Made {moment(subset.manifest)} by SMART Assets
{escaped(software_version(subset.manifest))}; content version `{subset.manifest.content_version}`.

`croissant.json` names the hash of the rows' file, and the files and commits that they were derived from.

## Sources

{sources_table(subset)}

The licence of a source is what the project's settings say of it. The rows stand under the licences of their sources.

## Tasks

{markdown_table(["task", "rows"], tasks[:_MOST_TASKS])}{more}

## Columns

`prompt`, `response`, `task`, `template`, `id` (hash of task, prompt and response), `source`, `rank` and `gain` (place
in the ordering of its task and template, and what it added to the objective; no gain where rows are random).
`messages` holds the turns of each row as a chat, the response as the last one, and `tools` the functions that the model
is offered, as JSON, where a row has any. `load_dataset(FOLDER, "{CHATS}")` gives these two alone, which is the
conversational format of TRL.
"""
