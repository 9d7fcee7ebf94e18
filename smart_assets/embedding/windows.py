"""Prompts longer than the encoder's window: read in several, and stood for by the mean of them.

A vector of the beginning alone says that all prompts of one preamble are the same. So a long prompt is cut into
consecutive pieces of its tokens, and its vector is the mean of their vectors, by tokens. The mean of a long document
says little of the question behind it: the vector of the last window is kept beside it, and tells the two apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding.vectors import normalized

LONG_PROMPTS = pa.schema(
    [("prompt_hash", pa.string()), ("tokens", pa.int64()), ("windows", pa.int64()), ("read", pa.int64())]
)
"""Prompts of several windows: their tokens without special ones, the windows they have, and how many of these are read.

`read` below `windows`: the prompt is read in part. `read` of 1: its beginning alone, and its end is not known.
"""
LONG_FILE, LAST_FILE = "long_prompts.parquet", "last_windows.npy"
"""Of an artifact with vectors: LONG_PROMPTS, and the vectors of their last windows. Not there where it has none."""
DECIMALS = 6  # of a cosine: what float32 vectors can tell
# Below this length the mean of float32 unit vectors is their rounding and points nowhere.
SHORTEST_MEAN = 1e-6


def windows_read(tokens: int, window: int, most: int) -> NDArray[np.int64]:
    """Return where each window of a prompt that is read begins and ends (at most `most`, 2).

    These are the first, the last, and others evenly between. All windows of a prompt but the last two are full. These
    share what is left: so the last one holds half a window at least, and not three words that a template ends with.
    Where one is read, it is a full one.

    Args:
        tokens: of the prompt, without special ones.
        window: tokens of a full window.
        most: windows that are read.
    """
    if most == 1:
        return np.array([[0, min(tokens, window)]])
    bounds = np.minimum(np.arange(windows_of(tokens, window) + 1) * window, tokens)
    if len(bounds) > 2:
        bounds[-2] = bounds[-3] + -(-(tokens - bounds[-3]) // 2)
    every = np.stack([bounds[:-1], bounds[1:]], axis=1)
    return every[np.unique(np.linspace(0, len(every) - 1, min(len(every), most)).round().astype(np.int64))]


def windows_of(tokens: int, window: int) -> int:
    """Return how many windows a prompt has."""
    return max(1, -(-tokens // window))


@dataclass(frozen=True, slots=True)
class LongPrompts:
    """Those of some prompts that the encoder cannot read in one window."""

    rows: NDArray[np.int64]  # (k,) where they stand among the prompts, rising
    tokens: NDArray[np.int64]  # (k,) without special ones
    windows: NDArray[np.int64]  # (k,) that they have
    read: NDArray[np.int64]  # (k,) how many of these are read
    sizes: NDArray[np.int64]  # tokens of each window read, prompt by prompt

    @classmethod
    def of(cls, rows: Sequence[int], tokens: Sequence[int], window: int, most: int) -> "LongPrompts":
        """Return the windows of long prompts, of which at most `most` are read."""
        read = [windows_read(count, window, most) for count in tokens]
        return cls(
            np.array(rows, np.int64),
            np.array(tokens, np.int64),
            np.array([windows_of(count, window) for count in tokens], np.int64),
            np.array([len(bounds) for bounds in read], np.int64),
            np.concatenate([np.zeros(0, np.int64), *(bounds[:, 1] - bounds[:, 0] for bounds in read)]),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def counts(self, prompt_hashes: Sequence[str], positions: NDArray[np.int64] | None = None) -> pa.Table:
        """Return them, or those at some positions, as LONG_PROMPTS; `prompt_hashes` are of all prompts."""
        chosen = np.arange(len(self)) if positions is None else positions
        names = pa.array([prompt_hashes[row] for row in self.rows[chosen].tolist()], pa.string())
        return pa.table([names, self.tokens[chosen], self.windows[chosen], self.read[chosen]], LONG_PROMPTS)


@dataclass(frozen=True, slots=True)
class LongVectors:
    """Vectors of long prompts."""

    counts: pa.Table  # LONG_PROMPTS (k,)
    whole: NDArray[np.float32]  # (k, d) unit rows
    last: NDArray[np.float32]  # (k, d) unit rows, of the last window that is read

    @classmethod
    def joined(cls, parts: "Sequence[LongVectors]") -> "LongVectors":
        """Return the prompts of all parts, in their order; there is one part at least."""
        return cls(
            pa.concat_tables(part.counts for part in parts).combine_chunks(),
            np.concatenate([part.whole for part in parts]),
            np.concatenate([part.last for part in parts]),
        )


class WindowMeans:
    """Puts the vectors of windows together, as they come.

    Of n prompts, place i below n is the first window of prompt i; from n on stand the others that are read, prompt by
    prompt.
    """

    def __init__(self, count: int, long: LongPrompts) -> None:
        """Take how many prompts there are, and those of several windows."""
        self._count, self._long = count, long
        slots = np.arange(len(long.sizes))
        self._starts = np.cumsum(long.read) - long.read
        others = np.setdiff1d(slots, self._starts)
        owner = np.repeat(np.arange(len(long)), long.read)  # the long prompt of each slot
        self.owners = np.concatenate([np.arange(count), long.rows[owner[others]]])
        """(places,) the prompt of each place."""
        self._slots = np.full(count + len(others), -1)
        self._slots[long.rows], self._slots[count:] = self._starts, others
        self._owner, self._left = owner, long.read.copy()
        self._vectors = np.empty((0, 0), np.float32)

    def take(
        self, places: NDArray[np.int64], vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Take unit vectors (b, d) of windows at places (b,).

        Returns:
            Which of these (b,) are whole prompts; and the long prompts, as positions in `LongPrompts`, that are whole
            now.
        """
        slots = self._slots[places]
        whole, slots, vectors = slots < 0, slots[slots >= 0], vectors[slots >= 0]
        if not len(slots):
            return whole, np.zeros(0, np.int64)
        if not len(self._vectors):
            self._vectors = np.empty((len(self._owner), vectors.shape[1]), np.float32)
        self._vectors[slots] = vectors
        np.subtract.at(self._left, self._owner[slots], 1)
        touched = np.unique(self._owner[slots])
        return whole, touched[self._left[touched] == 0]

    def mean(self, position: int) -> NDArray[np.float64]:
        """Return the mean of a long prompt's windows (d,), by tokens; its length is below 1."""
        part = self._part(position)
        weights = self._long.sizes[part] / self._long.sizes[part].sum()
        return weights @ self._vectors[part].astype(np.float64)

    def vectors(self, prompt_hashes: Sequence[str], positions: NDArray[np.int64]) -> LongVectors:
        """Return the vectors of long prompts whose windows are all there; `prompt_hashes` are of all prompts.

        Raises:
            EmbeddingError: the windows of a prompt cancel out; the message names its hash.
        """
        long = self._long
        names = [prompt_hashes[row] for row in long.rows[positions].tolist()]
        means = np.stack([self.mean(position) for position in positions.tolist()])
        lengths = np.linalg.norm(means, axis=1)
        bad = np.flatnonzero(~(lengths > SHORTEST_MEAN))
        if bad.size:
            raise EmbeddingError(
                f"the windows of the prompt with hash {names[int(bad[0])]!r} cancel out: the mean of their vectors has "
                f"length {lengths[bad[0]]:.1e} and no direction; check or remove the row"
            )
        return LongVectors(
            long.counts(prompt_hashes, positions),
            normalized(means).astype(np.float32),
            self._vectors[self._starts[positions] + long.read[positions] - 1],
        )

    def _part(self, position: int) -> slice:
        start = int(self._starts[position])
        return slice(start, start + int(self._long.read[position]))


@dataclass(frozen=True, slots=True)
class PromptVectors:
    """Vectors of prompts, and of the last window of those that have several."""

    whole: NDArray[np.float32]  # (n, d) unit rows; may be a memory map
    last: NDArray[np.float32]  # (k, d) unit rows
    places: NDArray[np.int64]  # (n,) row of `last`; -1 for a prompt of one window
    read: NDArray[np.int64]  # (n,) windows that a vector is of
    windows: NDArray[np.int64]  # (n,) that the prompt has

    @classmethod
    def short(cls, vectors: NDArray[np.float32]) -> "PromptVectors":
        """Return the vectors of prompts of one window each."""
        ones = np.ones(len(vectors), np.int64)
        return cls(vectors, vectors[:0], -ones, ones, ones)

    @classmethod
    def of(
        cls, vectors: NDArray[np.float32], prompt_hashes: pa.Array, long: pa.Table, last: NDArray[np.float32]
    ) -> "PromptVectors":
        """Return them from a table LONG_PROMPTS, whose rows `last` has the vectors of."""
        places = pc.fill_null(pc.index_in(prompt_hashes, value_set=long["prompt_hash"].combine_chunks()), -1)
        places = places.to_numpy().astype(np.int64)
        # Place -1 is the one window of a short prompt, which stands behind those of long ones.
        read, windows = (np.append(long[name].to_numpy(), 1)[places] for name in ("read", "windows"))
        return cls(vectors, last, places, read, windows)

    @classmethod
    def joined(cls, parts: "Sequence[PromptVectors]") -> "PromptVectors":
        """Return the prompts of all parts, in their order; they have vectors of one width."""
        starts = np.cumsum([0, *(len(part.last) for part in parts)])
        return cls(
            np.concatenate([part.whole for part in parts]),
            np.concatenate([part.last for part in parts]),
            np.concatenate(
                [np.where(part.places < 0, -1, part.places + start) for part, start in zip(parts, starts, strict=False)]
            ),
            np.concatenate([part.read for part in parts]),
            np.concatenate([part.windows for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.places)

    @property
    def long(self) -> NDArray[np.bool_]:
        """(n,) which prompts have several windows."""
        return self.windows > 1

    @property
    def ends_unread(self) -> NDArray[np.bool_]:
        """(n,) which prompts are read in their first window alone, though they have more."""
        return (self.windows > 1) & (self.read == 1)

    @property
    def read_in_part(self) -> NDArray[np.bool_]:
        """(n,) which prompts have windows that are not read."""
        return self.read < self.windows

    def only(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "PromptVectors":
        """Return some of the prompts, by row or mask; their vectors are read."""
        return PromptVectors(self.whole[rows], self.last, self.places[rows], self.read[rows], self.windows[rows])

    def ends(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors (b, d) of the last windows of prompts; of a prompt of one window its own."""
        places = self.places[rows]
        ends = np.array(self.whole[rows])
        ends[places >= 0] = self.last[places[places >= 0]]
        return ends

    def end_cosines(
        self, rows: NDArray[np.int64], others: "PromptVectors", other_rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the cosines (b,) of the last windows of pairs, to 6 decimals; NaN where an end is not read."""
        cosines = np.einsum("bd,bd->b", self.ends(rows), others.ends(other_rows), dtype=np.float64).round(DECIMALS)
        for prompts, chosen in ((self, rows), (others, other_rows)):
            cosines[(prompts.windows[chosen] > 1) & (prompts.read[chosen] == 1)] = np.nan
        return cosines

    def same_ends(
        self, rows: NDArray[np.int64], others: "PromptVectors", other_rows: NDArray[np.int64], threshold: float
    ) -> NDArray[np.bool_]:
        """Return which pairs (b,) of near prompts are so at their ends, too: all where both are of one window."""
        same = (self.windows[rows] == 1) & (others.windows[other_rows] == 1)
        asked = np.flatnonzero(~same)
        same[asked] = self.end_cosines(rows[asked], others, other_rows[asked]) >= threshold
        return same


def read_prompt_vectors(folder: Path) -> PromptVectors:
    """Return the vectors of an artifact of `prompt_embeddings`; those of whole prompts stay in their file."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    if not (folder / LONG_FILE).is_file():
        return PromptVectors.short(vectors)
    hashes = pq.read_table(folder / "rows.parquet", columns=["prompt_hash"])["prompt_hash"].combine_chunks()
    long = pq.read_table(folder / LONG_FILE)
    return PromptVectors.of(vectors, hashes, long, np.load(folder / LAST_FILE, allow_pickle=False))
