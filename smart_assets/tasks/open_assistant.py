"""Chats as OpenAssistant has them: trees of messages, each with replies in an order of rank.

A tree is one row, of which the path of the best-ranked replies is read. Where each message is a row of its own, the
trees are put together first, so such a file is read as a whole.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, cast

from smart_assets.tasks import reasons
from smart_assets.tasks.layouts import MESSAGE, TREE
from smart_assets.tasks.raw_rows import BadRow, RawRow, RowError, excerpt_of
from smart_assets.tasks.turns import Turn, has_value, read_turns
from smart_assets.tasks.unread import UnreadValues

_READ = frozenset({*MESSAGE, TREE, "replies", "rank", "deleted"})
_LAST = float("inf")


def is_message(names: Collection[str]) -> bool:
    """Return whether rows with these columns are messages of trees."""
    return {*names} >= MESSAGE and "prompt" not in names


def trees(rows: Iterable[RawRow | BadRow]) -> Iterator[RawRow | BadRow]:
    """Yield the trees of messages, each at the line of its first one; messages of no tree are refused."""
    nodes: dict[object, tuple[RawRow, dict[str, Any]]] = {}
    for row in rows:
        if isinstance(row, BadRow) or not isinstance(row.value, dict):
            yield row
            continue
        message = cast("dict[str, Any]", row.value)
        key = message.get("message_id")
        if not isinstance(key, str | int) or key in nodes:
            yield BadRow(row.line, reasons.BAD_MESSAGE_ID, excerpt_of(message))
        else:
            nodes[key] = row, {**message, "replies": []}
    roots: list[tuple[RawRow, dict[str, Any]]] = []
    for row, node in nodes.values():
        parent = node.get("parent_id")
        if not has_value(parent):
            roots.append((row, node))
        elif isinstance(parent, str | int) and parent in nodes:
            nodes[parent][1]["replies"].append(node)
    reached: set[object] = set()
    left = [node for _, node in roots]
    while left:
        node = left.pop()
        reached.add(node["message_id"])
        left += node["replies"]
    for row, node in roots:
        rest = {name: value for name, value in node.items() if name not in _READ}
        yield RawRow(row.line, {**rest, TREE: node["message_id"], "prompt": node}, row.done)
    for key, (row, _) in nodes.items():
        if key not in reached:
            yield BadRow(row.line, reasons.NO_ROOT, excerpt_of(row.value))


def best_path(tree: object, unread: UnreadValues) -> list[Turn]:
    """Return the turns of a tree, at each message the reply of the lowest rank, of equal ones the first.

    Raises:
        RowError: It is no tree of messages with a role and a text, or its first one was deleted.
    """
    if isinstance(tree, dict) and _is_deleted(cast("dict[str, Any]", tree)):
        raise RowError(reasons.DELETED)
    turns: list[Turn] = []
    node: Any = tree
    while node is not None:
        if not isinstance(node, dict):
            raise RowError(reasons.BAD_TURN)
        message = cast("dict[str, Any]", node)
        turns += read_turns("messages", {"role": message.get("role"), "content": message.get("text")}, unread)
        for key, value in message.items():
            if key not in _READ and has_value(value):
                unread.add("key of a turn", key, value)
        every = cast("list[Any]", message.get("replies") or [])
        replies: list[dict[str, Any]] = [reply for reply in every if isinstance(reply, dict)]
        node = min((reply for reply in replies if not _is_deleted(reply)), key=_rank, default=None)
        if others := [reply.get("text") for reply in replies if reply is not node]:
            unread.add("turns", "of other branches", others)
    return turns


def _is_deleted(reply: dict[str, Any]) -> bool:
    return reply.get("deleted") in (True, "True", "true")


def _rank(reply: dict[str, Any]) -> float:
    try:
        rank = float(reply["rank"])
    except (KeyError, TypeError, ValueError):
        return _LAST
    return rank if rank == rank else _LAST  # noqa: PLR0124  (not a number)
