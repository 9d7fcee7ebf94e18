"""The rows of a subset as they leave the project: each with the turns of its chat, the response as the last one.

A row of a single prompt is a chat of two turns. A turn is an object with `role` and `content`, and with `name`,
`tool_calls` or `tool_call_id` where it has them; tools are a list of functions. Both are in OpenAI's form, which chat
templates take.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from smart_assets.core.errors import StoreError
from smart_assets.core.stored_chat import StoredChat, parse_stored
from smart_assets.documents.subsets import kept_columns

Turn = Mapping[str, Any]

_BATCH_ROWS = 10_000
_TEXT = {"role": pa.string(), "content": pa.string()}
_MORE = {"name": pa.string(), "tool_calls": pa.list_(pa.string()), "tool_call_id": pa.string()}
TURN_KEYS = (*_TEXT, *_MORE)
"""All that a turn may have."""


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """One row as a chat."""

    id: str
    task: str
    template: str
    source: str
    before: tuple[Turn, ...]  # the response; at least one turn
    response: Turn
    tools: list[dict[str, Any]] | None = None  # that the model was offered
    kept: Mapping[str, Any] = field(default_factory=dict[str, Any])  # values of kept columns

    @property
    def messages(self) -> list[Turn]:
        """All turns."""
        return [*self.before, self.response]

    @property
    def identity(self) -> dict[str, Any]:
        """What the row is known by beside its texts, and what is kept of it.

        A source that reads it again needs task and template.
        """
        return {"id": self.id, "task": self.task, "template": self.template, "source": self.source, **self.kept}


def exported_rows(rows: pa.Table) -> Iterator[ExportedRow]:
    """Yield the rows of a subset as chats, in order.

    Args:
        rows: with the columns of `SubsetRecord.rows`.

    Raises:
        StoreError: the turns of a row are in no form that is known.
    """
    for batch in _batches(rows):
        yield from batch


def exported_table(rows: pa.Table) -> pa.Table:
    """Return the rows of a subset with `messages` as a list of turns, and `tools` as JSON where a row has any.

    A turn is a struct of the keys that turns of this table have, null where a turn lacks one. Calls of tools are JSON,
    as Parquet and Arrow know it and `datasets` decodes it: arguments of two calls rarely have one type.

    Raises:
        StoreError: as `exported_rows`.
    """
    fields = _TEXT | _MORE
    keys = set(_TEXT)
    chunks: list[pa.Array] = []
    tools: list[str | None] = []
    for chats in _batches(rows):
        turns = [[_flat(turn) for turn in row.messages] for row in chats]
        keys.update(key for chat in turns for turn in chat for key in turn)
        chunks.append(pa.array(turns, pa.list_(pa.struct(fields))))
        tools += [None if row.tools is None else json_text(row.tools) for row in chats]
    known = {key: pa.list_(pa.json_()) if key == "tool_calls" else kind for key, kind in fields.items() if key in keys}
    messages = pa.chunked_array(chunks, pa.list_(pa.struct(fields))).cast(pa.list_(pa.struct(known)))
    table = without_messages(rows).append_column("messages", messages)
    return table.append_column("tools", pa.array(tools, pa.string())) if any(tools) else table


def without_messages(rows: pa.Table) -> pa.Table:
    """Return the rows of a subset without their stored chats."""
    return rows.drop_columns("messages") if "messages" in rows.column_names else rows


def json_text(value: object) -> str:
    """Return JSON on one line, as people read it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON object a line, with the line ends of Unix."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{json_text(row)}\n" for row in rows)


def _batches(rows: pa.Table) -> Iterator[list[ExportedRow]]:
    kept = kept_columns(rows)
    for batch in rows.to_batches(max_chunksize=_BATCH_ROWS):
        yield [_exported(row, kept) for row in batch.to_pylist()]


def _flat(turn: Turn) -> dict[str, Any]:
    calls = turn.get("tool_calls")
    return {**turn, "tool_calls": [json_text(call) for call in calls]} if calls else dict(turn)


def _exported(row: Mapping[str, Any], kept: Iterable[str]) -> ExportedRow:
    chat = _stored_chat(row["id"], row["prompt"], row.get("messages"))
    calls = {"tool_calls": chat.tool_calls} if chat.tool_calls else {}
    return ExportedRow(
        id=row["id"],
        task=row["task"],
        template=row["template"],
        source=row["source"],
        before=tuple({key: turn[key] for key in TURN_KEYS if key in turn} for turn in chat.turns),
        response={"role": "assistant", "content": chat.said_by(row["response"]), **calls},
        tools=chat.tools,
        kept={name: row[name] for name in kept},
    )


def _stored_chat(name: str, prompt: str, messages: str | None) -> StoredChat:
    if messages is None:
        return StoredChat([{"role": "user", "content": prompt}])
    try:
        chat = parse_stored(messages)
    except ValueError as error:
        raise StoreError(f"row {name}: {error}") from error
    unknown = {key for turn in chat.turns for key in turn} - _TEXT.keys() - _MORE.keys()
    if unknown:
        raise StoreError(f"the turns of row {name} hold {sorted(unknown)}, which this version cannot export")
    return chat
