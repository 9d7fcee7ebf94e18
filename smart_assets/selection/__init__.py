"""Which rows: submodular objectives, exact greedy orderings and approximate ones. A library without Dagster.

```python
from smart_assets.selection import FacilityLocation, greedy_ordering

ordering = greedy_ordering(vectors, FacilityLocation(), budget=100)  # vectors (n, d) of any length
ordering.indices, ordering.gains  # (100,) best first
```

A name is imported when it is first asked for, and nothing else with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smart_assets.selection.approximate import NearestNeighbours, StochasticGreedy, approximate_ordering
    from smart_assets.selection.greedy import GreedyOrdering, Limits, greedy_ordering
    from smart_assets.selection.objectives import FacilityLocation, GraphCut, LogDeterminant, Objective

__all__ = [
    "FacilityLocation",
    "GraphCut",
    "GreedyOrdering",
    "Limits",
    "LogDeterminant",
    "NearestNeighbours",
    "Objective",
    "StochasticGreedy",
    "approximate_ordering",
    "greedy_ordering",
]

_MODULES = {
    "approximate": ("NearestNeighbours", "StochasticGreedy", "approximate_ordering"),
    "greedy": ("GreedyOrdering", "Limits", "greedy_ordering"),
    "objectives": ("FacilityLocation", "GraphCut", "LogDeterminant", "Objective"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
