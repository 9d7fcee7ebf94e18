"""What counts as evaluation text in a training row: the `contamination` section of `smart.yaml`."""

from typing import Any

from pydantic import Field

from smart_assets.core.section import Section


class Contamination(Section):
    """Training rows that hold text of held-out rows, of `evaluate.collections` or of `evaluate.local_data`."""

    exclude: bool = Field(
        default=True, description="Keep these rows out of every subset; without it an asset check only warns of them."
    )
    ngram: int = Field(default=13, ge=5, le=64, description="Words of an n-gram.")
    share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of an evaluation row's n-grams from which on a training row that holds them counts; 0: any.",
    )
    template_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="An n-gram in more than this share of the rows of a task or template is common to them, and counts "
        "only as part of half an evaluation row or more; 1: all count.",
    )
    similarity: float | None = Field(
        default=0.97,
        gt=0,
        le=1,
        description="Cosine of two prompts from which on they are one; null: not compared.",
    )

    def parameters(self) -> dict[str, Any]:
        """Return what decides which rows are found."""
        return self.model_dump(mode="json", exclude={"exclude"})
