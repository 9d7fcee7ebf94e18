"""Why a row or a file is rejected: short sentences from a fixed list, so that they can be counted.

None of them repeats what stood in the row, which may be hostile; the excerpt beside them does.
"""

from collections.abc import Mapping
from typing import Final, Literal

Field = Literal["prompt", "response", "template", "task", "messages", "system", "history", "tools"]
Medium = Literal["images", "audio", "video"]

MEDIA: Mapping[str, Medium] = {
    "image": "images",
    "images": "images",
    "image_url": "images",
    "input_image": "images",
    "audio": "audio",
    "audios": "audio",
    "input_audio": "audio",
    "audio_url": "audio",
    "video": "video",
    "videos": "video",
    "video_url": "video",
}
"""Columns, keys of turns and types of content parts that hold what is no text."""

LINE_TOO_LONG: Final = "line is longer than max_line_bytes"
NOT_JSON: Final = "not valid JSON"
NOT_AN_OBJECT: Final = "not an object"
NUL: Final = "holds NUL characters"
NOT_UTF8: Final = "not valid UTF-8"
BAD_QUOTES: Final = "CSV quotes do not match"
FIELD_COUNT: Final = "not as many fields as the CSV header"
DUPLICATE: Final = "exact duplicate of an earlier row"
REPEATS_WHAT_IS_READ: Final = "same as an earlier row in all that is read, and another in what is not read"
DUPLICATES: Final = (DUPLICATE, REPEATS_WHAT_IS_READ)
FORGOTTEN: Final = "forgotten by `smart forget`"
TASK_CONTROL: Final = "task holds control characters"
NO_ASSISTANT: Final = "messages have no assistant turn"
NOT_LEARNT: Final = "messages have no assistant turn of a weight other than 0"
BAD_TURN: Final = "messages hold a turn without a text role and text content"
NOT_LIKED: Final = "label is false: the response is one that people do not want"
PYTHON_CHAT: Final = "a chat as Python writes it, which is no JSON: write it with json.dumps"
BAD_PART: Final = "messages hold a content part that is not text"
BAD_TOOLS: Final = "tools or tool calls are not lists of named functions"
BAD_HISTORY: Final = "history is not a list of pairs of a prompt and a response"
SECOND_PROMPT: Final = "a second column may be a part of the prompt: name all of its columns under `columns.prompt`"
TEXT_ALONE: Final = "holds a text alone, as for pretraining: neither a prompt nor a response"
TOKENS: Final = "holds token ids, not texts"
BAD_MESSAGE_ID: Final = "message_id is missing, or another message has it"
DELETED: Final = "the first message of the tree was deleted"
NO_ROOT: Final = "the message belongs to no tree: a message above it is not in the file"
TEMPLATE_COLUMN: Final = "a column that `prompt_template` names is missing"

BAD_KEPT: Final = "a kept column holds what is neither text, number, date, list nor object"
LICENCE: Final = "licence is not among `licences.allow`"
NO_LICENCE: Final = "names no licence, and the source's own is not among `licences.allow`"

KEY_TWICE: Final = "an object has a key twice"
HEADER_AGAIN: Final = "repeats the header"
NO_VALUE: Final = "a value is out of range, or its time zone is not known"

FILE_UTF16: Final = "file is UTF-16 or UTF-32: save it as UTF-8"
FILE_POINTER: Final = "file is a pointer of Git LFS: fetch its content with `git lfs pull`"
FILE_PACKED: Final = "file is compressed and its ending does not say so: add .gz, .zst or .bz2, or unpack it"
FILE_NOT_PACKED: Final = "file is not compressed as its ending says: correct the ending"
FILE_TABLE: Final = "file is Parquet or Arrow, and its ending says otherwise: correct the ending"
FILE_SEPARATOR: Final = "file has one column with separators in its name: separate .csv by commas, .tsv by tabs"
FILE_TOO_LARGE: Final = "file unpacks to more than max_unpacked_times its size"
FILE_FEATHER_1: Final = "file is Feather of version 1: save it as Parquet"
FILE_UNREADABLE: Final = "file cannot be read in its format"
FILE_NOT_JSON: Final = "file is not valid JSON; one object a line needs the ending .jsonl"
FILE_NO_LIST: Final = "file holds neither a list nor an object with exactly one list"
FILE_NO_COLUMNS: Final = "file does not have the columns of a prompt and a response, or has one twice"

_KINDS: dict[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "text",
    bytes: "bytes",
    list: "a list",
}


def missing(field: Field) -> str:
    """Return the reason of a field that is absent or null."""
    return f"{field} is missing"


def empty(field: Field) -> str:
    """Return the reason of a text that holds nothing but white space."""
    return f"{field} is empty"


def medium(kind: Medium) -> str:
    """Return the reason of a row that is not text alone."""
    return f"holds {kind}, which a model of texts cannot read"


def wrong_type(field: Field, value: object) -> str:
    """Return the reason of a field whose value has a type it may not have."""
    return f"{field} has the wrong type: {_KINDS.get(type(value), 'an object')}"
