"""Where the rows of a JSON document are."""

import hashlib
from typing import cast

_DEFINITION, _INSTANCES = "Definition", "Instances"


def rows_in(document: object) -> list[object] | None:
    """Return the rows of a document: a list, the only list of an object, or the instances of a task definition.

    None where it is none of these. Each instance of Super-NaturalInstructions gets the definition of its task; what
    else the file says of the task is only named.
    """
    if isinstance(document, list):
        return cast("list[object]", document)
    if not isinstance(document, dict):
        return None
    parts = cast("dict[str, object]", document)
    instances = parts.get(_INSTANCES)
    if parts.get(_DEFINITION) and isinstance(instances, list):
        shared = {"definition": parts[_DEFINITION]}
        return _with_rest(parts, (_DEFINITION, _INSTANCES), shared, cast("list[object]", instances))
    lists = [name for name, part in parts.items() if isinstance(part, list)]
    if len(lists) != 1:
        return None
    return _with_rest(parts, (lists[0],), {}, cast("list[object]", parts[lists[0]]))


def _with_rest(
    parts: dict[str, object], read: tuple[str, ...], shared: dict[str, object], rows: list[object]
) -> list[object]:
    """Return rows with what they share, and with digests of what else the file says: each row is read without it."""
    rest = {f"{name} (of the file)": _digest(parts[name]) for name in parts if name not in read and parts[name]}
    if not shared and not rest:
        return rows
    return [{**shared, **rest, **cast("dict[str, object]", row)} if isinstance(row, dict) else row for row in rows]


def _digest(value: object) -> str:
    try:
        return hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    except RecursionError:
        return "nested too deep"
