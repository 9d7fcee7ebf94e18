"""Subsets with texts, without a project: what exports write."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from smart_assets.documents.subsets import SubsetRecord
from smart_assets.store import Artifact
from smart_assets_tests.support.artifacts import manifest_of

SYSTEM: dict[str, Any] = {"role": "system", "content": "Be brief."}
USER: dict[str, Any] = {"role": "user", "content": "How warm is it in Oslo?"}
WHERE: dict[str, Any] = {"role": "assistant", "content": "Where?"}
OSLO: dict[str, Any] = {"role": "user", "content": "Oslo"}
WARM: dict[str, Any] = {"role": "assistant", "content": "Warm."}
CALL: dict[str, Any] = {
    "id": "c1",
    "type": "function",
    "function": {"name": "warmth", "arguments": {"city": "Oslo", "days": 2}},
}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "warmth", "parameters": {"properties": {"city": {"type": "string"}}}}},
    {"type": "function", "function": {"name": "now"}},
]
ASKING: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [CALL]}
ANSWERED: dict[str, Any] = {"role": "tool", "content": "12 degrees", "name": "warmth", "tool_call_id": "c1"}


def stored(turns: Sequence[Any], **more: Any) -> str:
    """The column `messages` of a chat."""
    value = {"messages": turns, **more} if more else turns
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def row_of(number: int, response: str = "Warm.", messages: str | None = None, task: str = "weather") -> dict[str, Any]:
    """A row of `SubsetRecord.rows`."""
    return {
        "prompt": USER["content"],
        "response": response,
        "task": task,
        "template": "",
        "id": f"{number:032x}",
        "source": "small",
        "rank": number,
        "gain": None,
        "messages": messages,
    }


def subset_of(rows: Sequence[dict[str, Any]]) -> SubsetRecord:
    """A subset of such rows."""
    manifest = manifest_of(Artifact(asset="selected_subset", version="ab" * 16, files=()), "20|smart")
    manifest = manifest.model_copy(update={"made": {"at": "2026-05-04T00:00:00+00:00", "seconds": 1.5}})
    table = pa.Table.from_pylist(list(rows)).cast(
        pa.schema([(name, _TYPES.get(name, pa.large_string())) for name in rows[0]])
    )
    chats = table["messages"].null_count < table.num_rows
    return SubsetRecord(manifest, None, table if chats else table.drop_columns("messages"), ())


_TYPES = {"rank": pa.int64(), "gain": pa.float64()}

ROWS = [
    row_of(1),
    row_of(2, messages=stored([SYSTEM, USER])),
    row_of(3, messages=stored([USER, WHERE, OSLO])),
]
TOOL_ROWS = [
    row_of(4, messages=stored([SYSTEM, USER, ASKING, ANSWERED], tools=TOOLS)),
    row_of(5, stored([CALL]), stored([USER], tools=TOOLS, tool_calls=[CALL])),
]
"""The second one's response is nothing but a call."""
