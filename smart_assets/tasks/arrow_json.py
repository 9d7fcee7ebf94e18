"""Columns whose type says that their texts are JSON, as `datasets` writes turns and calls of mixed types."""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import pyarrow as pa

Decode = Callable[[Any], Any]


def decoders(schema: pa.Schema) -> dict[str, Decode]:
    """Return how values of each column that holds such texts become what these say; none where no column does."""
    by_name = {field.name: _decoder(field.type) for field in schema}
    return {name: decode for name, decode in by_name.items() if decode is not None}


def _decoder(kind: pa.DataType) -> Decode | None:
    if isinstance(kind, pa.JsonType):
        return _from_json
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _decoder(kind.value_type)
        return inner and _of_lists(inner)
    if pa.types.is_struct(kind):
        fields = decoders(pa.schema(list(kind)))
        return _of_structs(fields) if fields else None
    return None


def _from_json(text: str | None) -> object:
    """Return what a text says; one that is no JSON after all stays as it is."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _of_lists(inner: Decode) -> Decode:
    return lambda value: value if value is None else [inner(item) for item in value]


def _of_structs(fields: Mapping[str, Decode]) -> Decode:
    def decode(value: Any) -> Any:
        known = cast("dict[str, Any] | None", value)
        return known and known | {name: inner(known[name]) for name, inner in fields.items()}

    return decode
