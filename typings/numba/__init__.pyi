from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from numba import types as types

_Function = TypeVar("_Function", bound=Callable[..., object])

def njit(signatures: Sequence[tuple[Any, ...]], **options: object) -> Callable[[_Function], _Function]: ...
