"""Products on the CPU: NumPy's matrix product in blocks over threads, and compiled loops over what it gives."""

from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from smart_assets.core.threads import Threads, row_blocks
from smart_assets.selection.engines import kernels, pair_kernels
from smart_assets.selection.engines.ground_set import BLOCK_ROWS, GroundSet
from smart_assets.selection.engines.products import Ids, Pairs, Values

_TALL, _WIDE = 256, 1024  # a block of similarities stays in a core's cache
_STEP = 4096
_GATHERED = 2**26  # pairs that a thread gathers at most before it puts them in their places


class CpuProducts:
    """See `products.Products`; the threads may be shared with other work."""

    def __init__(self, ground: GroundSet, shared: Threads) -> None:
        self._ground, self._shared = ground, shared
        # Any order of summation misses an inner product of unit vectors by at most about d 2^-24 (Higham 2002, 3.1);
        # twice that, and some for the rounding of the vectors themselves.
        self.slack = (ground.width + 8) * 2.0**-23

    @cached_property
    def _unit(self) -> NDArray[np.float32]:
        """The unit vectors (n, d) in 32 bits."""
        unit = np.empty((len(self._ground), self._ground.width), dtype=np.float32)

        def work(block: slice) -> None:
            unit[block] = self._ground.rows[block] * self._ground.scales[block, None]

        self._shared.over_blocks(work, len(unit), _STEP)
        return unit

    def project(self, ids: Ids | None, direction: Values) -> Values:
        """See `products.Products`."""
        ground = self._ground
        chosen = np.arange(len(ground)) if ids is None else ids
        projections = np.empty(len(chosen))

        def work(block: slice) -> None:
            kernels.dots(ground.rows, chosen[block], direction, projections[block])
            projections[block] *= ground.scales[chosen[block]]

        self._shared.over_blocks(work, len(chosen), _STEP)
        return projections

    def energies(self, ids: Ids, steps: NDArray[np.float64]) -> Values:
        """See `products.Products`."""
        energies = np.empty(len(ids))

        def work(block: slice) -> None:
            parts = self._rows(ids[block]) @ steps.T
            energies[block] = np.einsum("ij,ij->i", parts, parts)

        self._shared.over_blocks(work, len(ids), _WIDE)
        return energies

    def forms(self, ids: Ids, matrix: NDArray[np.float64]) -> Values:
        """See `products.Products`."""
        forms = np.empty(len(ids))

        def work(block: slice) -> None:
            rows = self._rows(ids[block])
            forms[block] = np.einsum("ij,ij->i", rows @ matrix, rows)

        self._shared.over_blocks(work, len(ids), _WIDE)
        return forms

    def _rows(self, ids: Ids) -> NDArray[np.float64]:
        rows = self._shared.scratch("unit rows", (len(ids), self._ground.width), np.float64)
        self._ground.read(ids, rows)
        return rows

    def bounds(self, cover: Values, candidates: Ids | None = None) -> Values:
        """See `products.Products`."""
        least = (cover - self.slack).astype(np.float32)
        return self._bounds_of_all(least) if candidates is None else self._bounds_of(least, candidates)

    def _bounds_of_all(self, least: NDArray[np.float32]) -> Values:
        """Every product serves both of its sides."""
        size, total, lock = len(self._unit), np.zeros(len(self._unit)), Lock()

        def work(block: slice) -> None:
            sums = np.zeros(size)
            for other in row_blocks(size, _WIDE):
                if other.stop > block.start:
                    start = max(other.start, block.start)
                    across = slice(start, other.stop)
                    part = self._product(self._unit[block], self._unit[across])
                    sides = (least[block], least[across], sums[block], sums[across])
                    pair_kernels.add_both(part, *sides, block.start, start)
            with lock:
                np.add(total, sums, out=total)

        self._shared.over_blocks(work, size, _TALL)
        return total * (1 + 2.0**-20 * _WIDE / 16)

    def _bounds_of(self, least: NDArray[np.float32], candidates: Ids) -> Values:
        chosen, total, lock = self._unit[candidates], np.zeros(len(candidates)), Lock()

        def work(block: slice) -> None:
            sums = np.zeros(len(candidates))
            pair_kernels.add_columns(self._product(self._unit[block], chosen), least[block], sums)
            with lock:
                np.add(total, sums, out=total)

        self._shared.over_blocks(work, len(self._unit), _WIDE)
        return total * (1 + 2.0**-20 * _WIDE / 16)

    def _product(self, rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.matmul(rows, others.T, out=self._shared.scratch("product", (len(rows), len(others)), np.float32))

    def count(self, cover: Values, candidates: Ids) -> int:
        """See `products.Products`."""
        least = (cover - self.slack).astype(np.float32)
        return sum(
            int((self._product(self._unit[candidates], self._unit[block]) > least[block]).sum())
            for block in row_blocks(len(self._unit), BLOCK_ROWS)
        )

    def pairs(self, cover: Values, capacity: int) -> Pairs | None:
        """See `products.Products`."""
        size = len(self._unit)
        least = (cover - self.slack).astype(np.float32)
        pairs = Pairs(
            starts=np.zeros(size, np.int64),
            lengths=np.zeros(size, np.int64),
            rows=np.empty(capacity, np.int32),
            similarities=np.empty(capacity, np.float32),
        )
        taken, lock = [0], Lock()
        step = min(_TALL, max(8, _GATHERED // size))

        def work(block: slice) -> None:
            if taken[0] > capacity:
                return
            across = list(row_blocks(size, _WIDE))
            counts = np.empty((len(across), block.stop - block.start), np.int64)
            most = (1, step * size + 1)  # one more, to be written and not kept; pages that are not written cost nothing
            rows = self._shared.scratch("rows", most, np.int32)[0]
            values = self._shared.scratch("values", most, np.float32)[0]
            filled = 0
            for number, other in enumerate(across):
                part = self._product(self._unit[block], self._unit[other])
                filled = pair_kernels.append_pairs(
                    part, least[other], other.start, rows, values, filled, counts[number]
                )
            with lock:
                start = taken[0]
                taken[0] += filled
            if start + filled > capacity:
                return
            pairs.lengths[block] = counts.sum(axis=0)
            pairs.starts[block] = start + np.cumsum(pairs.lengths[block]) - pairs.lengths[block]
            pair_kernels.copy_pairs(rows, values, counts, pairs.starts[block], pairs.rows, pairs.similarities)

        self._shared.over_blocks(work, size, step)
        return pairs if taken[0] <= capacity else None
