"""Products in torch, for a GPU; on the CPU the same code is slower than NumPy's and serves to test it.

The rows lie on the device in their own precision and are brought to length 1 block by block, as on the CPU. Blocks are
as large as the memory that is given allows.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smart_assets.core.errors import SelectionError
from smart_assets.core.threads import row_blocks
from smart_assets.selection.engines.ground_set import GroundSet
from smart_assets.selection.engines.products import Ids, Pairs, Values

LARGEST_SIDE = 16_384
SMALLEST_SIDE = 64
"""Rows of a block of similarities."""
_COPIES = 6  # of a block of similarities that stand at once, in 32 bits


def bytes_needed(size: int, width: int, itemsize: int = 4) -> int:
    """Return the least memory of the device for (size, width) rows."""
    rows = size * (width * itemsize + 8)
    return rows + SMALLEST_SIDE * (4 * _COPIES * size + 8 * width)


class TorchProducts:
    """See `products.Products`.

    Raises:
        SelectionError: The rows and the smallest blocks do not fit into `memory_bytes` of the device.
    """

    def __init__(self, ground: GroundSet, device: str, memory_bytes: int) -> None:
        size, width = ground.rows.shape
        needed = bytes_needed(size, width, ground.rows.itemsize)
        if needed > memory_bytes:
            raise SelectionError(
                f"{size} vectors of {width} dimensions need {needed} bytes on {device!r}, and an ordering may take "
                f"{memory_bytes}: raise the memory limit, or use the engine 'cpu'"
            )
        spare = memory_bytes - size * width * ground.rows.itemsize
        self._side = max(SMALLEST_SIDE, min(LARGEST_SIDE, int((spare / (4 * _COPIES)) ** 0.5)))
        self._stripe = max(1, min(LARGEST_SIDE, spare // (4 * _COPIES * size)))
        self._rows = torch.from_numpy(ground.rows).to(device)
        self._scales = torch.from_numpy(ground.scales).to(device)
        rounded = 2.0**-9 if torch.get_float32_matmul_precision() != "highest" else 0.0  # the inputs, in TensorFloat-32
        self.slack = (width + 8) * 2.0**-23 + rounded

    def project(self, ids: Ids | None, direction: Values) -> Values:
        """See `products.Products`."""
        toward = self._sent(direction)[:, None]
        return self._gathered(self._exact(block) @ toward for block in self._blocks(ids))

    def energies(self, ids: Ids, steps: NDArray[np.float64]) -> Values:
        """See `products.Products`."""
        across = self._sent(steps).T
        return self._gathered((self._exact(block) @ across).square() for block in self._blocks(ids))

    def forms(self, ids: Ids, matrix: NDArray[np.float64]) -> Values:
        """See `products.Products`."""
        held = self._sent(matrix)
        products = (rows * (rows @ held) for rows in map(self._exact, self._blocks(ids)))
        return self._gathered(products)

    def bounds(self, cover: Values, candidates: Ids | None = None) -> Values:
        """See `products.Products`."""
        least = self._sent((cover - self.slack).astype(np.float32))
        total = torch.zeros(len(cover) if candidates is None else len(candidates), dtype=torch.float64).to(least.device)
        if candidates is None:
            self._add_all(least, total)
        else:
            chosen = self._unit(self._sent(candidates))
            for block in self._blocks(None):
                part = self._unit(block) @ chosen.T
                total += (part - least[block, None]).clamp_(min=0).sum(0, dtype=torch.float64)
        return total.cpu().numpy() * (1 + 2.0**-16)

    def _add_all(self, least: Tensor, total: Tensor) -> None:
        """Every product serves both of its sides."""
        for block in self._blocks(None):
            rows = self._unit(block)
            for across in self._blocks(None):
                if across[0] < block[0]:
                    continue
                part = rows @ self._unit(across).T
                total[across] += (part - least[block, None]).clamp_(min=0).sum(0, dtype=torch.float64)
                if across[0] > block[0]:
                    total[block] += (part - least[None, across]).clamp_(min=0).sum(1, dtype=torch.float64)

    def count(self, cover: Values, candidates: Ids) -> int:
        """See `products.Products`."""
        least = self._sent((cover - self.slack).astype(np.float32))
        return sum(int(mask.sum()) for _, mask in self._stripes(self._sent(candidates), least))

    def pairs(self, cover: Values, capacity: int) -> Pairs | None:
        """See `products.Products`."""
        least = self._sent((cover - self.slack).astype(np.float32))
        lengths: list[NDArray[np.int64]] = []
        rows, similarities = np.empty(capacity, np.int32), np.empty(capacity, np.float32)
        taken = 0
        for part, mask in self._stripes(torch.arange(len(cover), device=least.device), least):
            values = part[mask].cpu().numpy()
            if taken + len(values) > capacity:
                return None
            rows[taken : taken + len(values)] = mask.nonzero()[:, 1].cpu().numpy()
            similarities[taken : taken + len(values)] = values
            taken += len(values)
            lengths.append(mask.sum(1).cpu().numpy())
        every = np.concatenate(lengths)
        return Pairs(np.cumsum(every) - every, every, rows, similarities)

    def _stripes(self, candidates: Tensor, least: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Similarities (c, n) of some candidates at a time to all rows, and which of them may matter."""
        for block in row_blocks(len(candidates), self._stripe):
            chosen = self._unit(candidates[block])
            part = torch.cat([chosen @ self._unit(across).T for across in self._blocks(None)], dim=1)
            yield part, part > least

    def _blocks(self, ids: Ids | None) -> Iterator[Tensor]:
        chosen = torch.arange(len(self._rows)) if ids is None else torch.from_numpy(ids)
        return (chosen[block].to(self._rows.device) for block in row_blocks(len(chosen), self._side))

    def _exact(self, ids: Tensor) -> Tensor:
        return self._rows[ids].double() * self._scales[ids, None]

    def _unit(self, ids: Tensor) -> Tensor:
        return self._exact(ids).float()

    def _sent(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._rows.device)

    @staticmethod
    def _gathered(blocks: Iterator[Tensor]) -> Values:
        sums = [block.sum(1) for block in blocks]
        return torch.cat(sums).cpu().numpy() if sums else np.empty(0)
