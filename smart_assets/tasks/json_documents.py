"""Where the rows of a JSON document are."""

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
        return _with_definition(parts, cast("list[object]", instances))
    lists = [cast("list[object]", part) for part in parts.values() if isinstance(part, list)]
    return lists[0] if len(lists) == 1 else None


def _with_definition(parts: dict[str, object], instances: list[object]) -> list[object]:
    rest = {f"{name} (of the file)": "there" for name in parts if name not in (_DEFINITION, _INSTANCES) and parts[name]}
    shared = {"definition": parts[_DEFINITION], **rest}
    return [{**shared, **cast("dict[str, object]", row)} if isinstance(row, dict) else row for row in instances]
