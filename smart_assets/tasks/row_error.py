"""The signal that a row is rejected, and the check every text passes before it is kept."""

from smart_assets.tasks import reasons
from smart_assets.tasks.reasons import Field


class RowError(Exception):
    """A row breaks a rule; caught where rows are collected, and never seen by the user as an error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # one of `smart_assets.tasks.reasons`


def checked_text(field: Field, value: object) -> str:
    """Return the value as the text it must be.

    Raises:
        RowError: It is null, not text, holds NUL characters, or cannot be written as UTF-8 (lone surrogates).
    """
    if value is None:
        raise RowError(reasons.missing(field))
    if not isinstance(value, str):
        raise RowError(reasons.wrong_type(field, value))
    if "\0" in value:
        raise RowError(reasons.NUL)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError(reasons.NOT_UTF8) from error
    return value
