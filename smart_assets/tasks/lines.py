"""Lines of a byte stream, of which none is ever loaded beyond a limit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BOM = b"\xef\xbb\xbf"

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file; only its beginning where it is longer than the limit."""

    number: int  # from 1
    content: bytes
    whole: bool
    end: int  # bytes of the file read so far


def read_lines(file: BinaryIO, limit: int) -> Iterator[Line]:
    """Yield all lines, their line breaks kept, cutting those of more than `limit` bytes and skipping their rest."""
    number = 0
    while content := file.readline(limit + 1):
        number += 1
        whole = len(content) <= limit or content.endswith(b"\n")
        if not whole:
            content = content[:_CHUNK]
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
        yield Line(number, content.removeprefix(BOM) if number == 1 else content, whole, file.tell())
