"""The registry of objectives that a selection can maximize.

Each is a small frozen value, so that a recipe can name it in `smart.yaml` and an artifact can be keyed by its `label`.
All work on unit vectors (n, d), whose inner products are the kernel s_ij (raw cosines, negative ones included), and
none builds the n x n kernel. The definitions are those of submodlib, on which the paper rests.
"""

from typing import Annotated, get_args

from pydantic import BeforeValidator, Field

from smart_assets.selection.facility_location import FacilityLocation
from smart_assets.selection.graph_cut import GraphCut
from smart_assets.selection.log_determinant import LogDeterminant

_AnyObjective = FacilityLocation | GraphCut | LogDeterminant

OBJECTIVE_NAMES: tuple[str, ...] = tuple(objective().name for objective in get_args(_AnyObjective))
"""What `smart.yaml` may call an objective."""


def spell_out(value: object) -> object:
    """Return a bare name as a mapping with `name`."""
    return {"name": value} if isinstance(value, str) else value


Objective = Annotated[_AnyObjective, Field(discriminator="name"), BeforeValidator(spell_out)]
"""Any of them; in `smart.yaml` a mapping with `name`, or the bare name for its defaults."""
