"""What two manifests say apart from their files: parameters, code, and what each was made from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from smart_assets.assets.step import parse_input
from smart_assets.lineage.history import read_at
from smart_assets.planning.plan import value_changes
from smart_assets.store import Manifest


@dataclass(frozen=True, slots=True)
class Side:
    """One of two artifacts."""

    asset: str
    partition: str
    version: str
    made_at: str  # UTC
    collected: bool = False  # its files are not in the store any more

    @classmethod
    def of(cls, manifest: Manifest, collected: bool) -> "Side":
        """Return the side of a manifest."""
        return cls(
            manifest.asset,
            str(manifest.partition),
            manifest.content_version,
            read_at(manifest),
            collected,
        )


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """A value that is not the same in both; None where one has none."""

    what: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class MakingDiff:
    """What differs in how two artifacts were made."""

    parameters: tuple[ValueDifference, ...]  # by path, such as `recipe.task_budgets.temperature`
    inputs: tuple[ValueDifference, ...]  # by name; content versions
    code: tuple[ValueDifference, ...]

    @property
    def equal(self) -> bool:
        """Whether both were made alike, from the same."""
        return not (self.parameters or self.inputs or self.code)


def compare_making(a: Manifest, b: Manifest) -> MakingDiff:
    """Compare what the manifests record."""
    parameters = tuple(ValueDifference(*change) for change in value_changes(a.parameters, b.parameters))
    code = (
        () if a.code_version == b.code_version else (ValueDifference("code version", a.code_version, b.code_version),)
    )
    return MakingDiff(parameters, tuple(_changes(_inputs(a), _inputs(b))), code)


def _inputs(manifest: Manifest) -> dict[str, str]:
    """Return versions by name; an input of the same budget and recipe goes by its asset alone."""
    inputs: dict[str, str] = {}
    for name, version in manifest.inputs.items():
        key, _ = parse_input(name)
        inputs[key.asset if key.partition == manifest.partition else name] = version
    return inputs


def _changes(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[ValueDifference]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield ValueDifference(name, a.get(name), b.get(name))
