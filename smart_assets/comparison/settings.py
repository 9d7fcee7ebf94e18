"""What of the report is a setting."""

from pydantic import Field

from smart_assets.core.section import Section

MARGIN = 0.02


class Report(Section):
    """By how much fewer rows may be worse and still be enough."""

    margin: float = Field(
        default=MARGIN,
        gt=0.0,
        lt=1.0,
        allow_inf_nan=False,
        description="A smaller budget is enough where it is known to be worse than the largest one by less than this "
        "share of the figure at the largest budget: 0.02 of a loss of 2 nats are 0.04 nats.",
    )
