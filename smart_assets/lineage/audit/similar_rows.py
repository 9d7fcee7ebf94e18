"""Rows whose prompts are like a prompt: exact cosines with every vector that the same encoder gave and that is left."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.assets.records import EmbeddingParameters
from smart_assets.core.errors import EmbeddingError, StoreError
from smart_assets.lineage.audit.reader import VECTORS, AuditReader

_ROWS_AT_ONCE = 65_536
_MARGIN = 1e-4  # float32 sums of unit vectors are off by less
_DECIMALS = 6  # what float32 vectors can tell


@dataclass(frozen=True, slots=True)
class SimilarRows:
    """Ids of rows by falling cosine, then by id."""

    cosines: dict[str, float]  # id -> cosine in [threshold, 1], to 6 decimals
    compared: int  # distinct rows


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as its encoder sees it."""

    vector: NDArray[np.float32]  # (d,) of length 1
    encoder: str  # version


def prompt_of_row(reader: AuditReader, id_: str) -> Prompt | None:
    """Return the vector of a row, the newest where several encoders gave one; None where none is left."""
    files = reader.files(VECTORS, "rows.parquet")
    places = dict(reader.query(files, "version, file_row_number", "WHERE id = $p0", id_))
    for item in reader.history.of(VECTORS):
        version = item.manifest.content_version
        if version in places:
            vectors = _open(reader.files(VECTORS, "vectors.npy")[version])
            return Prompt(np.array(vectors[places[version]]), EmbeddingParameters.read(item.manifest).encoder)
    return None


def prompt_of_text(reader: AuditReader, text: str) -> Prompt:
    """Encode a text with the project's encoder.

    Raises:
        EmbeddingError: the encoder cannot be loaded, or gives no direction for it.
    """
    from smart_assets.embedding.encoder import load_encoder

    encoder = load_encoder(reader.project.settings.embedding, "cpu")
    [vector] = encoder.encode([text])
    if not np.isfinite(vector).all():
        raise EmbeddingError("the encoder gives no direction for this text (zero, or not finite): try another one")
    return Prompt(vector, encoder.version)


def similar_rows(reader: AuditReader, prompt: Prompt, threshold: float) -> SimilarRows:
    """Return the rows, now and in the past, whose prompts have a cosine of at least `threshold` with one.

    Raises:
        StoreError: vectors cannot be read.
    """
    cosines_by_id: dict[str, float] = {}
    compared = 0
    files, row_files = reader.files(VECTORS, "vectors.npy"), _row_files(reader, prompt.encoder)
    for version, new in _new_rows(row_files):
        vectors = _open(files[version])
        cosines = dict(_above(vectors, new, prompt.vector, threshold))
        chosen = "WHERE file_row_number IN (SELECT unnest($p0))"
        rows = {version: row_files[version]} if cosines else {}
        cosines_by_id |= {
            id_: cosines[row] for id_, row in reader.query(rows, "id, file_row_number", chosen, list(cosines))
        }
        compared += len(vectors) if new is None else len(new)
    order = sorted(cosines_by_id, key=lambda id_: (-cosines_by_id[id_], id_))
    return SimilarRows({id_: cosines_by_id[id_] for id_ in order}, compared)


def _row_files(reader: AuditReader, encoder: str) -> dict[str, Path]:
    """Return by version the rows of the vectors that an encoder gave, what is current first.

    Of equal rows the first counts.
    """
    files = reader.files(VECTORS, "rows.parquet")
    items = sorted(reader.history.of(VECTORS), key=lambda item: not item.current)
    versions = (
        item.manifest.content_version for item in items if EmbeddingParameters.read(item.manifest).encoder == encoder
    )
    return {version: files[version] for version in versions if version in files}


def _new_rows(files: dict[str, Path]) -> Iterator[tuple[str, NDArray[np.int64] | None]]:
    """Return each version and the positions of its rows that no version before it has; None for all."""
    seen: list[pa.Array] = []
    for version, path in files.items():
        if len(files) == 1:  # most often: a million ids need not be read
            yield version, None
            return
        ids = pq.read_table(path, columns=["id"])["id"].combine_chunks()
        known = pc.is_in(ids, value_set=pa.chunked_array(seen, pa.string()))
        yield version, np.flatnonzero(~np.asarray(known))
        seen.append(ids)


def _above(
    vectors: NDArray[np.float32], rows: NDArray[np.int64] | None, vector: NDArray[np.float32], threshold: float
) -> Iterator[tuple[int, float]]:
    """Return positions and cosines at or above the threshold; `rows` are those that count, all where None."""
    count = len(vectors) if rows is None else len(rows)
    for start in range(0, count, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE) if rows is None else rows[start : start + _ROWS_AT_ONCE]
        block = vectors[part]
        near = np.flatnonzero(block @ vector >= threshold - _MARGIN)
        cosines = np.round(block[near].astype(np.float64) @ vector.astype(np.float64), _DECIMALS)
        for offset, cosine in zip(near.tolist(), cosines.tolist(), strict=True):
            if cosine >= threshold:
                yield int(start + offset if rows is None else rows[start + offset]), min(cosine, 1.0)


def _open(path: Path) -> NDArray[np.float32]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}): `smart verify` names what is damaged") from error
