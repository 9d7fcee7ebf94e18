"""Which licences the rows of a source may have. Light to import, as the settings are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, cast

from pydantic import Field, StringConstraints

from smart_assets.core.section import Section

_Licence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Licences(Section):
    """The licences of rows that are kept; rows of any other are refused."""

    allow: tuple[_Licence, ...] = Field(
        min_length=1,
        description="Licences, as SPDX ids or as rows write them. Case and white space do not count; nothing else is "
        "taken for the same.",
    )
    column: str = Field(
        default="license",
        min_length=1,
        description="Column of a row's licence, a text or a list of texts that must all be allowed. A row that names "
        "none has the source's own `license`.",
    )


@dataclass(frozen=True, slots=True)
class LicenceGate:
    """Tells whether a row may be kept."""

    column: str
    allowed: frozenset[str]  # in the form of `normalized`
    own: str | None  # of the source

    @classmethod
    def from_settings(cls, licences: Licences, own: str | None) -> "LicenceGate":
        """Return the gate of a source's settings."""
        return cls(licences.column, frozenset(map(normalized, licences.allow)), own)

    def named_by(self, row: Mapping[str, object]) -> list[object]:
        """Return the licences that a row names; none where its value is missing or blank."""
        value = row.get(self.column)
        values = cast("list[object]", value) if isinstance(value, list) else [value]
        return [item for item in values if not _is_blank(item)]

    def allows(self, licences: list[object]) -> bool:
        """Return whether the licences that a row names, or the source's own where it names none, are all allowed."""
        of_row = licences or [self.own]
        return all(isinstance(licence, str) and normalized(licence) in self.allowed for licence in of_row)


def normalized(licence: str) -> str:
    """Return a licence without what does not count: case, and how much white space there is."""
    return " ".join(licence.split()).casefold()


def _is_blank(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124  (NaN alone)
