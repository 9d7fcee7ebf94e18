"""What an objective is: a set function over unit vectors, and all that orderings, settings and checks ask of it.

An objective is one class in a module of its own, and one entry in `objectives`. Settings load it, so what is heavy is
imported where it is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from smart_assets.core.errors import SelectionError
from smart_assets.core.threads import threads, usable_cores

if TYPE_CHECKING:
    from smart_assets.core.threads import Threads
    from smart_assets.selection.engines.ground_set import GroundSet
    from smart_assets.selection.engines.products import Products

Vectors = NDArray[np.float64]
"""(n, d) rows of length 1."""
Indices = NDArray[np.int64]
"""(k,) distinct positions of the ground set."""
Gains = NDArray[np.float64]
"""One marginal gain an element."""
Picks = tuple[Indices, Gains]
"""(k,) each, best first."""

GpuUse = Literal["never", "asked", "auto"]

MAX_PARAMETER = 1e6
"""Upper bound of the objectives' parameters; far beyond use, and still exact enough in 32-bit kernels."""

GAIN_STEP = 1024
"""Rows of a block of gains: fixed, so that the number of threads changes no sum."""

_PROGRESS_EVERY = 256

OnProgress = Callable[[int, float], None]
"""Called now and then with the picks made so far and the share in [0, 1] of all work that is done, as far as it can be
foreseen. What it raises ends the ordering."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an ordering may take.

    Raises:
        SelectionError: The threads are below 1, or the memory below 16 MiB.
    """

    threads: int | None = None  # None: one for each core that this process may use
    memory_bytes: int = 3 * 2**30  # beside the vectors; more makes facility location faster

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise SelectionError(f"an ordering needs at least 1 thread; got {self.threads}")
        if self.memory_bytes < 2**24:
            raise SelectionError(f"an ordering needs at least {2**24} bytes (16 MiB); got {self.memory_bytes}")


class Marginal(Protocol):
    """An objective's gains as picks are made one by one."""

    def gains(self, ids: Indices) -> Gains:
        """Return what each of some elements (m,) would gain now."""
        ...

    def take(self, index: int) -> None:
        """Pick this element."""
        ...


class SubmodularObjective(ABC):
    """A set function f with f({}) = 0. A subclass is a frozen dataclass: its parameters, and `name`, a `Literal`."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    gpu: ClassVar[GpuUse] = "never"
    """Whether `picks` uses the products of a GPU: not at all, where one is asked for, or wherever there is one."""
    compares_all_pairs: ClassVar[bool]
    """Whether `ordered_gains` takes work for each of n^2 pairs of rows: checks recompute only what they can afford."""
    raised_for_submodlib: ClassVar[bool] = False
    """Whether submodlib needs similarities that are not negative. Adding a constant to all must change no pick then."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Stable text that keys artifacts made with this objective: the name, and every parameter in one spelling."""

    @abstractmethod
    def value(self, vectors: Vectors, subset: Indices) -> float:
        """f(S) for unit `vectors` (n, d) and a subset (k,)."""

    @abstractmethod
    def marginal_gains(self, vectors: Vectors, subset: Indices) -> Gains:
        """f(S + j) - f(S) for every j (n,); 0 for the elements of `subset` (k,)."""

    @abstractmethod
    def ordered_gains(self, vectors: Vectors, order: Indices) -> Gains:
        """Return what each element of `order` (k,) gains over those before it; they sum to the value of all."""

    @abstractmethod
    def marginal(self, ground: "GroundSet", shared: "Threads") -> Marginal:
        """Return the gains as picks are made one by one, from the empty subset on."""

    def picks(
        self,
        ground: "GroundSet",
        products: "Products",  # noqa: ARG002  (for engines that override this)
        count: int,
        limits: Limits,
        on_progress: OnProgress,
    ) -> Picks:
        """Return picks and gains (count,): each the best that was left, ties to the lowest index.

        Every gain is computed for every pick, which holds for any function: n evaluations a pick. An objective that
        can bound its gains has an engine of its own.
        """
        picks, gains = np.empty(count, dtype=np.int64), np.empty(count)
        left = np.arange(len(ground))
        with threads(limits.threads or usable_cores()) as shared:
            marginal = self.marginal(ground, shared)
            for done in range(count):
                gains_left = marginal.gains(left)
                best = int(np.argmax(gains_left))
                picks[done], gains[done] = left[best], gains_left[best]
                marginal.take(int(left[best]))
                left = np.delete(left, best)
                if done % _PROGRESS_EVERY == 0:
                    on_progress(done, done / count)
        return picks, gains

    def submodlib_function(self, kernel: NDArray[np.float32]) -> Any:  # noqa: ARG002  (for those that override it)
        """Return submodlib's function for a dense kernel (n, n).

        Raises:
            SelectionError: Submodlib has none, or the parameters lie below the kernel's rounding.
        """
        raise SelectionError(f"the engine 'submodlib' has no {self.label}: use the engine 'cpu'")
