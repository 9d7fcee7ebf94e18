"""The `retention` section of `smart.yaml`: what `smart gc` leaves in the store."""

from pydantic import Field

from smart_assets.core.section import Section


class Retention(Section):
    """How long artifacts stay after something newer took their place. Manifests, the history, always stay."""

    newest: int = Field(
        default=2,
        ge=1,
        description="Materializations of each partition whose files stay whatever their age; the current one is first.",
    )
    days: int = Field(
        default=90,
        ge=1,
        description="Files of a materialization stay for so many days after a newer one took its place.",
    )
