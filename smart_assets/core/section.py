"""The one base of every section of `smart.yaml`: unknown keys are errors and values never change."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

# Names of sources, recipes and collections are partition keys and parts of paths and of commands.
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"),
    Field(description="1 to 64 letters, digits, `_` or `-`, the first a letter or digit."),
]


class Section(BaseModel):
    """A frozen part of the settings; each package declares its own next to the code that reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def added_setting(default: Any, description: str, **rules: Any) -> Any:
    """Return a field that a section got after manifests recorded it: they hold it only where it is not the default.

    So what was made before it came stays current.
    """
    return Field(default=default, description=description, exclude_if=lambda value: value == default, **rules)


def allowed(what: str) -> WrapValidator:
    """Return the rule that a value is refused once, by what is allowed: a union would refuse it once for each kind."""

    def check(value: object, parse: ValidatorFunctionWrapHandler) -> object:
        try:
            return parse(value)
        except ValidationError as error:
            raise ValueError(f"allowed are {what}") from error

    return WrapValidator(check)
