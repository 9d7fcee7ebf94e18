"""Stored weights beside those trained again: equal to the bit, or how far apart and where."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.core.errors import StoreError
from smart_assets.store.hashing import file_sha256

if TYPE_CHECKING:
    import torch

_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """A tensor that is not the same in both."""

    name: str  # file and tensor
    largest: float | None  # absolute difference; None where it is in one alone, of another shape, or not finite


@dataclass(frozen=True, slots=True)
class WeightComparison:
    """All tensors of one seed."""

    seed: int
    tensors: int
    differing: tuple[TensorDifference, ...]  # the farthest apart first

    @property
    def identical(self) -> bool:
        """Whether all weights are equal to the bit."""
        return not self.differing

    @property
    def largest(self) -> float | None:
        """The largest absolute difference; None where there is none, or a tensor cannot be compared."""
        return self.differing[0].largest if self.differing else None


def compare_weights(seed: int, stored: Path, trained: Path) -> WeightComparison:
    """Compare the safetensors files in two folders of a seed.

    Raises:
        StoreError: there are no weights, or a file cannot be read.
    """
    names = sorted(
        {path.relative_to(folder).as_posix() for folder in (stored, trained) for path in folder.rglob(f"*{_SUFFIX}")}
    )
    if not names:
        raise StoreError(f"{stored} holds no weights: `smart verify` names what is damaged")
    tensors, differing = 0, list[TensorDifference]()
    for name in names:
        count, apart = _compare_files(name, stored / name, trained / name)
        tensors += count
        differing += apart
    order = sorted(differing, key=lambda tensor: (tensor.largest is not None, -(tensor.largest or 0.0)))
    return WeightComparison(seed, tensors, tuple(order))


def _compare_files(name: str, stored: Path, trained: Path) -> tuple[int, list[TensorDifference]]:
    """Return how many tensors there are, and those that differ."""
    from safetensors import SafetensorError, safe_open

    if not (stored.exists() and trained.exists()):
        return 1, [TensorDifference(name, None)]
    same = file_sha256(stored) == file_sha256(trained)
    try:
        with safe_open(stored, "pt") as old, safe_open(trained, "pt") as new:
            known: tuple[set[str], set[str]] = set(old.keys()), set(new.keys())
            differences = [TensorDifference(f"{name} {tensor}", None) for tensor in sorted(known[0] ^ known[1])]
            for tensor in () if same else sorted(known[0] & known[1]):
                largest = _largest(old.get_tensor(tensor), new.get_tensor(tensor))
                differences += [] if largest == 0 else [TensorDifference(f"{name} {tensor}", largest)]
            return len(known[0] | known[1]), differences
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{stored} cannot be compared with {trained}: {error}") from error


def _largest(old: "torch.Tensor", new: "torch.Tensor") -> float | None:
    """Return the largest absolute difference; 0 only where all bits are equal."""
    import torch

    if old.shape != new.shape or old.dtype != new.dtype:
        return None
    bits: list[Any] = [tensor.contiguous().view(torch.uint8) for tensor in (old.reshape(-1), new.reshape(-1))]
    if torch.equal(bits[0], bits[1]):
        return 0.0
    largest = float((old.double() - new.double()).abs().max())
    return max(largest, 5e-324) if largest < float("inf") else None  # -0 and 0 are other bits; NaN is below nothing
