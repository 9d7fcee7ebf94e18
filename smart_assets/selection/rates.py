"""What the engines are made of, measured on this machine in about a second: the figures that estimates rest on.

Each is one rate of the engines' own code on some 2,000 vectors, so that it holds what the loops around a product take.
Two of them depend on the vectors too: how many graph cut reads for a pick, and how fast picks of facility location
leave pairs behind that cannot matter again. Both hardly change with the number of vectors, so that a sample tells them.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from smart_assets.core.errors import SelectionError
from smart_assets.core.threads import threads, usable_cores
from smart_assets.selection.greedy import greedy_ordering, unit_rows
from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective

if TYPE_CHECKING:
    from smart_assets.selection.engines.products import Products

ROWS = 2048
"""Vectors that are measured with."""
LEAST_ROWS = 256
LOOP_TERMS = 48
"""What the loops over a product take, in dimensions of it."""
COUNTED_PICKS = (1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63, 94)
"""Picks after which facility location counts the pairs that are left."""

_DETERMINANT_ROWS = 512  # so few that hardly a quadratic form is brought up to date
_TINY_ROWS = 16
_CANDIDATES = 512
_CUDA_ROWS, _CUDA_BYTES = 16_384, 2**32
_SUBMODLIB_ROWS = 600
_REPEATS = 3  # the fastest counts: whatever else runs only ever adds
_WIDTH = 384
_TASKS, _TEMPLATES = 28, 8
_SHARED, _TASK, _TEMPLATE, _OWN = 0.3, 0.5, 0.5, 0.8  # lengths of a vector's parts


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds for the parts of an ordering, on all cores that the process may use, and shares of pairs."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    width: Annotated[int, Field(ge=1)]  # d of the vectors that were measured
    threads: Annotated[int, Field(ge=1)]
    call: float  # an ordering of next to nothing
    read: float  # a vector's dimension, in all that comes before the first pick by graph cut
    product: float  # a multiplication and addition of a product in 32 bits
    form: float  # one in 64 bits
    graph_cut_pick: float  # of 2,048 vectors
    log_determinant_pick: float  # without the products
    left: tuple[float, ...]  # shares in [0, 1] of all pairs (i, j), i != j, left after each of `COUNTED_PICKS`

    @classmethod
    def read_from(cls, kept: object) -> "Rates":
        """What `kept` gave, as JSON brings it back.

        Raises:
            SelectionError: The figures are not those that this version measures.
        """
        try:
            rates = TypeAdapter(cls).validate_python(kept)
        except ValidationError as error:
            raise SelectionError(f"the rates that were kept cannot be used, measure them again: {error}") from error
        if len(rates.left) != len(COUNTED_PICKS):
            raise SelectionError(
                f"kept rates must hold {len(COUNTED_PICKS)} shares of pairs left; got {len(rates.left)}: measure again"
            )
        return rates

    def kept(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def measure_rates(sample: NDArray[np.floating] | None = None) -> Rates:
    """Measure the engines on rows of `sample` (n, d), or on made-up vectors like those of prompts, then once for all.

    Raises:
        SelectionError: The sample has fewer than 256 rows, or its rows are no vectors.
    """
    if sample is None:
        return _rates_of_made_up_vectors()
    if len(sample) < LEAST_ROWS:
        raise SelectionError(
            f"a sample to estimate by must have at least {LEAST_ROWS} vectors; got {len(sample)}: leave it out"
        )
    return _measure(sample[np.unique(np.linspace(0, len(sample) - 1, ROWS).astype(np.int64))])


def clustered_vectors(size: int, width: int, seed: int = 23) -> NDArray[np.float32]:
    """Vectors (n, d), not of length 1, whose similarities lie much as those of prompts by task and template do."""
    generator = np.random.default_rng(seed)

    def directions(count: int) -> NDArray[np.float64]:
        return generator.standard_normal((count, width)) / np.sqrt(width)

    templates = np.repeat(_TASK * directions(_TASKS), _TEMPLATES, axis=0) + _TEMPLATE * directions(_TASKS * _TEMPLATES)
    of = generator.integers(len(templates), size=size)
    return (_SHARED * directions(1) + templates[of] + _OWN * directions(size)).astype(np.float32)


@cache
def cuda_rates() -> tuple[float, float]:
    """Seconds for a multiplication and addition of products in 32 and in 64 bits on the GPU.

    Raises:
        SelectionError: There is no GPU that torch can use.
    """
    import torch

    if not torch.cuda.is_available():
        raise SelectionError("an estimate for the engine 'cuda' needs a GPU that torch can use: estimate for 'cpu'")
    from smart_assets.selection.engines.ground_set import GroundSet
    from smart_assets.selection.engines.torch_products import TorchProducts

    ground = GroundSet.of(np.random.default_rng(0).standard_normal((_CUDA_ROWS, _WIDTH), dtype=np.float32))
    return _product_rates(TorchProducts(ground, "cuda", _CUDA_BYTES), _CUDA_ROWS, _WIDTH)


@cache
def submodlib_seconds(objective: Objective) -> tuple[int, float]:
    """A number of vectors, and the seconds that submodlib takes for them."""
    from smart_assets.selection.engines.submodlib import submodlib_picks

    unit = unit_rows(clustered_vectors(_SUBMODLIB_ROWS, _WIDTH))
    submodlib_picks(unit[:_TINY_ROWS], objective, 1)
    return len(unit), _fastest(lambda: submodlib_picks(unit, objective, len(unit) - 1))


@cache
def _rates_of_made_up_vectors() -> Rates:
    return _measure(clustered_vectors(ROWS, _WIDTH))


def _measure(vectors: NDArray[np.floating]) -> Rates:
    from smart_assets.selection.engines.cpu_products import CpuProducts
    from smart_assets.selection.engines.ground_set import GroundSet

    ground, few = GroundSet.of(vectors), vectors[:_DETERMINANT_ROWS]
    with threads(usable_cores()) as shared:
        product, form = _product_rates(CpuProducts(ground, shared), *vectors.shape)
    call = _ordering_seconds(vectors[:_TINY_ROWS], GraphCut())
    first = _ordering_seconds(vectors, GraphCut(), 1)
    return Rates(
        width=ground.width,
        threads=usable_cores(),
        call=call,
        read=max(first - call, 0.0) / vectors.size,
        product=product,
        form=form,
        graph_cut_pick=max(_ordering_seconds(vectors, GraphCut()) - first, 0.0) / len(vectors),
        log_determinant_pick=max(_ordering_seconds(few, LogDeterminant()) - call, 0.0) / len(few),
        left=_left(ground.unit(slice(None)).astype(np.float32)),
    )


def _product_rates(products: "Products", size: int, width: int) -> tuple[float, float]:
    """Seconds for a multiplication and addition in 32 bits, where every pair counts once and then twice, and in 64."""
    everything, nothing, half = np.arange(size), np.zeros(size), np.full(size, 0.5)
    products.bounds(nothing)
    matrix = np.eye(width)
    products.forms(everything[:1], matrix)
    singles = _fastest(lambda: products.bounds(nothing)) + _fastest(lambda: products.pairs(half, size**2))
    doubles = _fastest(lambda: products.forms(everything, matrix))
    return singles / (1.5 * size**2 * (width + LOOP_TERMS)), doubles / (size * width**2)


def _left(unit: NDArray[np.float32]) -> tuple[float, ...]:
    """The shares of pairs (i, j) with s_ij above what covers row i, of some j, after each of `COUNTED_PICKS`."""
    picks = greedy_ordering(unit, FacilityLocation(), COUNTED_PICKS[-1], engine="cpu").indices
    cover = np.maximum.accumulate(np.maximum(unit[picks] @ unit.T, 0), axis=0)
    some = np.unique(np.linspace(0, len(unit) - 1, _CANDIDATES).astype(np.int64))
    similarities = unit[some] @ unit.T
    similarities[np.arange(len(some)), some] = -1
    return tuple(
        float((similarities > cover[count - 1]).sum() / (len(some) * (len(unit) - 1))) for count in COUNTED_PICKS
    )


def _ordering_seconds(vectors: NDArray[np.floating], objective: Objective, budget: int | None = None) -> float:
    return _fastest(lambda: greedy_ordering(vectors, objective, budget, "cpu"))


def _fastest(work: Callable[[], object]) -> float:
    taken: list[float] = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)
