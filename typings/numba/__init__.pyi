from collections.abc import Callable
from typing import TypeVar

_Function = TypeVar("_Function", bound=Callable[..., object])

def njit(**options: object) -> Callable[[_Function], _Function]: ...
