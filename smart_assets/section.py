"""The one base of every section of `smart.yaml`: unknown keys are errors and values never change."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen part of the settings; each package declares its own next to the code that reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
