"""The registry of source kinds, and the settings of the validation split; light to import, as the settings are."""

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import Discriminator, Field, GetJsonSchemaHandler, Tag, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from smart_assets.core.errors import SourceError
from smart_assets.core.section import Section
from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.hub import HuggingFaceSource
from smart_assets.tasks.source_kind import SourceKind, recorded_columns

KINDS: dict[str, type[SourceKind]] = {
    kind.model_fields["kind"].default: kind for kind in (FolderSource, HuggingFaceSource)
}
"""Every kind by what `kind:` in `smart.yaml` says."""

DEFAULT_KIND = FolderSource.model_fields["kind"].default


@dataclass(frozen=True, slots=True)
class OfAnyKind:
    """Marks a field as a source of one of KINDS, whichever its `kind` names when it is read."""

    extended: Callable[[type[SourceKind]], type[SourceKind]] = lambda kind: kind  # a kind with more settings
    default: str | None = None  # the kind where none is named; without one it must be

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validated)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(_adapter(tuple(KINDS.items()), self).core_schema)

    def kind_of(self, value: Any) -> Any:
        """Return the kind that settings not read yet name, or that those read are of."""
        if isinstance(value, dict):
            return value.get("kind", self.default)  # pyright: ignore[reportUnknownMemberType]
        return getattr(value, "kind", None)

    def _validated(self, value: Any) -> SourceKind:
        return _adapter(tuple(KINDS.items()), self).validate_python(value)


Source = Annotated[SourceKind, OfAnyKind()]


def recorded_source(parameters: Mapping[str, Any]) -> SourceKind:
    """Return the source whose parameters a manifest records.

    Raises:
        SourceError: They are of a kind or a form that is not known.
    """
    if isinstance(columns := parameters.get("columns"), dict):
        parameters = {**parameters, "columns": recorded_columns(cast("dict[str, Any]", columns))}
    try:
        return _adapter(tuple(KINDS.items()), OfAnyKind()).validate_python(parameters)
    except ValidationError as error:
        raise SourceError(
            f"a manifest records a source that cannot be told: {error.errors()[0]['msg']}. "
            f"Kinds are {', '.join(KINDS)}; use the version of this program, or the extension, that made it."
        ) from error


@functools.lru_cache(maxsize=16)
def _adapter(kinds: tuple[tuple[str, type[SourceKind]], ...], form: OfAnyKind) -> TypeAdapter[SourceKind]:
    classes = {name: form.extended(kind) for name, kind in kinds}
    if form.default is None:
        members, discriminator = tuple(classes.values()), Field(discriminator="kind")
    else:
        members: tuple[Any, ...] = tuple(Annotated[kind, Tag(name)] for name, kind in classes.items())
        names = [f"`{form.default}` (when absent)", *(f"`{name}`" for name, _ in kinds if name != form.default)]
        discriminator = Discriminator(
            form.kind_of,
            custom_error_type="source_kind",
            custom_error_message=f"`kind` is {', '.join(names[:-1])} or {names[-1]}",
        )
    union: Any = functools.reduce(operator.or_, members)
    return TypeAdapter(Annotated[union, discriminator])  # pyright: ignore[reportArgumentType, reportInvalidTypeForm]


class Validation(Section):
    """How much of each task is held out, and which prompts are too close to part."""

    fraction: float = Field(default=0.1, ge=0, le=0.5, description="Share of the near-duplicate clusters held out.")
    max_rows_per_task: int = Field(
        default=100, ge=0, description="Validation rows of a task at most; never more than half of its rows either."
    )
    similarity: float = Field(
        default=0.8, gt=0, le=1, description="Estimated Jaccard similarity from which two prompts are near duplicates."
    )
