"""Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html): a subset's files as JSON-LD.

Where the rows come from is told in PROV-O (`provenance`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from smart_assets.core.formatting import count
from smart_assets.documents.provenance import derived_from, generated_by
from smart_assets.documents.subsets import SubsetRecord
from smart_assets.documents.terms import licence_reference, moment

VERSION = "http://mlcommons.org/croissant/1.1"
RECORDS = "instances"
_FILE = "rows.parquet"
# The context of Croissant 1.1, and PROV-O.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_FIELDS = {  # column -> type, what it is
    "prompt": ("sc:Text", "What the model is asked."),
    "response": ("sc:Text", "What the model is to answer."),
    "task": ("sc:Text", "The task that the row belongs to."),
    "template": ("sc:Text", "The prompt template within the task."),
    "id": ("sc:Text", "Hash of task, prompt and response."),
    "source": ("sc:Text", "The source in the project's settings."),
    "rank": ("sc:Integer", "Place in the ordering of its task and template, from 0."),
    "gain": ("sc:Float", "What the row added to the objective; missing where rows are random."),
    "messages": ("", "The turns of the chat, the response as the last one."),
    "tools": ("sc:Text", "The functions that the model is offered, as JSON; missing where there are none."),
}
_KEPT = "Kept with the row as its source gives it; missing where it does not."
_KINDS = {pa.bool_(): "sc:Boolean", pa.int64(): "sc:Integer", pa.float64(): "sc:Float"}  # of kept columns
_TURN_FIELDS = {  # key of a turn -> what it is
    "role": "Who speaks.",
    "content": "What is said.",
    "name": "The name of who speaks.",
    "tool_calls": "The functions that are called, as JSON each.",
    "tool_call_id": "The call that is answered.",
}


@dataclass(frozen=True, slots=True)
class RowsFile:
    """The file that holds the rows, as it was written."""

    path: str  # relative to the Croissant file
    sha256: str
    size: int  # bytes
    columns: pa.Schema


def croissant(subset: SubsetRecord, file: RowsFile) -> dict[str, Any]:
    """Return the document, ready for JSON; names of tasks and files are values in it, never keys."""
    tasks = len(subset.tasks)
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "@id": f"{subset.manifest.asset}/{subset.manifest.content_version}",
        "conformsTo": VERSION,
        "name": subset.name,
        "description": f"{count(subset.rows.num_rows, 'row')} of {count(tasks, 'task')} for instruction tuning, "
        f"selected by the recipe {subset.recipe}.{_unlicensed(subset)}",
        "version": f"1.0.0+{subset.manifest.content_version}",
        "datePublished": moment(subset.manifest),
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": _FILE,
                "name": _FILE,
                "contentUrl": file.path,
                "contentSize": f"{file.size} B",
                "encodingFormat": "application/x-parquet",
                "sha256": file.sha256,
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": RECORDS,
                "name": RECORDS,
                "key": {"@id": f"{RECORDS}/id"},
                "field": [_field(column, subset.kept) for column in file.columns],
            }
        ],
        "prov:wasDerivedFrom": [derived_from(source) for source in subset.sources],
        "prov:wasGeneratedBy": generated_by(subset),
    }
    licences = sorted({licence_reference(source.licence) for source in subset.sources if source.licence})
    return document | ({"license": licences} if licences else {})


def _unlicensed(subset: SubsetRecord) -> str:
    names = [source.name for source in subset.sources if source.licence is None]
    return f" The licence of rows from {', '.join(names)} is not known." if names else ""


def _field(column: pa.Field, kept: Sequence[str]) -> dict[str, Any]:
    if column.name in kept:
        # A validator takes no white space in an id, and names of people's columns are any.
        described = _described(f"{RECORDS}/kept/{kept.index(column.name)}", column.name, _KEPT)
        return described | {"dataType": _KINDS.get(column.type, "sc:Text"), "source": _source(column.name)}
    kind, meaning = _FIELDS[column.name]
    described = _described(f"{RECORDS}/{column.name}", column.name, meaning)
    if not pa.types.is_list(column.type):
        return described | {"dataType": kind, "source": _source(column.name)}
    turn = column.type.value_type
    return described | {
        "repeated": True,
        "subField": [_turn_field(column.name, turn.field(place)) for place in range(turn.num_fields)],
    }


def _turn_field(column: str, key: pa.Field) -> dict[str, Any]:
    described = _described(f"{RECORDS}/{column}/{key.name}", key.name, _TURN_FIELDS[key.name])
    repeated = {"repeated": True} if pa.types.is_list(key.type) else {}
    source = _source(column) | {"transform": {"jsonPath": key.name}}
    return described | {"dataType": "sc:Text"} | repeated | {"source": source}


def _described(name: str, short: str, meaning: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": name, "name": short, "description": meaning}


def _source(column: str) -> dict[str, Any]:
    return {"fileObject": {"@id": _FILE}, "extract": {"column": column}}
