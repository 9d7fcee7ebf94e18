"""Task files as streams of bytes, unpacked within bounds.

A few kilobytes can unpack to terabytes. So a compressed file is unpacked once without looking at what comes out, which
takes little beside reading its rows; one that grows beyond all measure is refused before a row of it is read.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import codecs
import io
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from smart_assets.tasks import reasons
from smart_assets.tasks.file_names import COMPRESSIONS
from smart_assets.tasks.file_rows import Piece

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FREE_BYTES = 100_000_000  # what any file may unpack to
_BLOCK = 1 << 20  # bytes
_STEP = 4096  # bytes of a block with damage in it that are read at a time
_POINTER = b"version https://git-lfs.github.com/spec/"
_GZIP, _ZSTD, _BZ2 = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh"
_PACKED = (_GZIP, _ZSTD, _BZ2, b"\xfd7zXZ\0", b"PK\x03\x04")  # the last are xz and zip
_BEGINS = {".gz": _GZIP, ".zst": _ZSTD, ".bz2": _BZ2}
_SKIPPED_ZSTD = b"\x2a\x4d\x18"  # after one more byte: a frame of zstd that holds no content
_TABLES = (b"PAR1", b"ARROW1\0\0", b"FEA1")
_LONGEST_MARK = 64  # bytes
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # UTF-32's other mark begins with the first


class RefusedFileError(Exception):
    """A file breaks a rule as a whole; caught by the reader of its format."""

    def __init__(self, reason: str, excerpt: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason  # one of `smart_assets.tasks.reasons`
        self.excerpt = excerpt


@dataclass(frozen=True, slots=True)
class Bytes:
    """The content of a file as it is read: unpacked."""

    stream: io.BufferedReader
    size: int  # bytes in all; 1 where there are none
    stop: int | None = None  # where reading ends; None: at the end
    lines_before: int = 0


@contextmanager
def open_text(path: Path, compression: str | None, most_times: int, piece: Piece | None = None) -> Generator[Bytes]:
    """Open a file of text.

    Args:
        path: The file.
        compression: One of COMPRESSIONS' keys, or None.
        most_times: It may unpack to so many times its size, and to FREE_BYTES anyway.
        piece: Of a file that is not compressed, the bytes that are read.

    Raises:
        OSError: It cannot be read or unpacked (pyarrow's errors of streams are such).
        RefusedFileError: It unpacks to more, or to what is compressed again, or is UTF-16 or UTF-32.
    """
    packed = path.stat().st_size
    size = packed if compression is None else _unpacked_size(path, compression, limit_of(packed, most_times))
    with opened(path, compression) as stream:
        head = stream.peek(16)
        if is_wide(head):
            raise RefusedFileError(reasons.FILE_UTF16)
        if compression and head.startswith(_PACKED):
            raise RefusedFileError(reasons.FILE_PACKED)
        if piece is None:
            yield Bytes(stream, max(1, size))
        else:
            stream.seek(piece.first)
            yield Bytes(stream, max(1, size), piece.stop, piece.before)


def refuse_other_content(path: Path, compression: str | None, is_text: bool) -> None:
    """Refuse a file that is something else than its ending says.

    Args:
        path: The file.
        compression: One of COMPRESSIONS' keys, or None.
        is_text: Whether its ending says that it is a format of text.

    Raises:
        OSError: It cannot be read.
        RefusedFileError: It is a pointer of Git LFS, compressed or not, or a table.
    """
    with path.open("rb") as stream:
        head = stream.read(_LONGEST_MARK)
    if head.startswith(_POINTER):
        raise RefusedFileError(reasons.FILE_POINTER)
    if compression is None and head.startswith(_PACKED):
        raise RefusedFileError(reasons.FILE_PACKED)
    if is_text and compression is None and head.startswith(_TABLES):
        raise RefusedFileError(reasons.FILE_TABLE)
    if compression and head and not head.startswith(_BEGINS[compression]) and head[1:4] != _SKIPPED_ZSTD:
        raise RefusedFileError(reasons.FILE_NOT_PACKED)


def limit_of(packed: int, most_times: int) -> int:
    """Return how many bytes a file of a size may unpack to."""
    return max(FREE_BYTES, packed * most_times)


def line_pieces(path: Path, piece_bytes: int) -> list[Piece]:
    """Return a file of lines in pieces of some bytes and the rest of a line; none where it cannot be read."""
    pieces: list[Piece] = []
    first = before = 0
    try:
        size = max(1, path.stat().st_size)
        with path.open("rb") as stream:
            while True:
                lines = _skip(stream, piece_bytes)
                stop = stream.tell()
                if stop == first:
                    return pieces
                pieces.append(Piece(first, stop, before, stop / size))
                first, before = stop, before + lines
    except OSError:
        return []


def _skip(stream: io.BufferedReader, count: int) -> int:
    """Go on by so many bytes and to the end of the line there; return how many lines end on the way."""
    lines, last = 0, b""
    while count > 0 and (block := stream.read(min(_BLOCK, count))):
        lines += block.count(b"\n")
        count -= len(block)
        last = block[-1:]
    while last and last != b"\n" and (block := stream.readline(_BLOCK)):
        lines += block.endswith(b"\n")
        last = block[-1:]
    return lines


def is_wide(head: bytes) -> bool:
    """Return whether a text begins as UTF-16 or UTF-32 does, with a byte order mark or without one."""
    if head.startswith(_WIDE):
        return True
    # Without a mark, the first characters are taken to be of ASCII, as they are in JSON and most headers.
    zeros = [byte == 0 for byte in head[:4]]
    return zeros in ([False, True] * 2, [True, False] * 2, [False, True, True, True], [True, True, True, False])


@contextmanager
def opened(path: Path, compression: str | None) -> Generator[io.BufferedReader]:
    """Open a file as what it unpacks to, however much that is.

    Raises:
        OSError: It cannot be read.
    """
    if compression is None:
        with path.open("rb") as stream:
            yield stream
        return
    with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, COMPRESSIONS[compression]) as unpacked:
        yield io.BufferedReader(_Raw(unpacked, path, COMPRESSIONS[compression]), _BLOCK)


def _unpacked_size(path: Path, compression: str, limit: int) -> int:
    """Return how many bytes a file unpacks to; of a damaged one, how many come before the damage.

    Raises:
        RefusedFileError: It unpacks to more than the limit.
    """
    size, block = 0, memoryview(bytearray(_BLOCK))
    with opened(path, compression) as stream:
        try:
            while count := stream.raw.readinto(block):  # pyright: ignore[reportAttributeAccessIssue]
                size += count
                if size > limit:
                    raise RefusedFileError(reasons.FILE_TOO_LARGE, f"more than {limit:,} bytes")
        except OSError:
            return size  # reading it says so, after the rows before the damage
    return size


class _Raw(io.RawIOBase):
    """pyarrow's stream as Python's buffers want it; it counts what came out.

    Reading a block of a damaged file fails as a whole. So it is read again in small steps, up to the damage.
    """

    def __init__(self, stream: "pa.NativeFile", path: Path, codec: str) -> None:
        super().__init__()
        self._stream = stream
        self._path, self._codec = path, codec
        self._position = 0
        self._damage: OSError | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer as far as there is something, and return how far."""
        if self._damage is not None:
            raise self._damage
        try:
            count: int = self._stream.readinto(buffer)
        except OSError as error:
            self._damage = error
            count = self._fill_to_damage(memoryview(buffer))
            if not count:
                raise
        self._position += count
        return count

    def _fill_to_damage(self, view: memoryview) -> int:
        """Fill a buffer with what comes before the damage, and return how much that is."""
        count = 0
        for step in (_STEP, 1):
            opened = pa.OSFile(str(self._path))
            with suppress(OSError), opened, pa.CompressedInputStream(opened, self._codec) as stream:
                left = self._position + count
                while left and (passed := stream.read(min(left, _BLOCK))):
                    left -= len(passed)
                while count + step <= len(view) and (block := stream.read(step)):
                    view[count : count + len(block)] = block
                    count += len(block)
        return count

    def tell(self) -> int:
        """Return how many bytes came out."""
        return self._position
