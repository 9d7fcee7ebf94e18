"""One evaluation as a file: what the program `python -m smart_assets.evaluation` reads, and its caller writes."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from smart_assets.core.errors import EvaluationError
from smart_assets.evaluation.settings import Evaluate
from smart_assets.training.job import JobFile
from smart_assets.training.settings import Precision, PromptSettings


class EvaluationJob(JobFile, PromptSettings):
    """Everything that an evaluation needs to know: a checkpoint, or a base model with or without an adapter."""

    refusal = EvaluationError

    model: Path | None = Field(default=None, description="Folder of a checkpoint with all its weights.")
    base_model: str | None = Field(
        default=None, min_length=1, description="Where there is no checkpoint: hub name, folder, or package:NAME."
    )
    revision: str | None = Field(default=None, description="Commit, tag or branch of a hub model; default: main.")
    adapter: Path | None = Field(default=None, description="Folder of a LoRA adapter to put on the base model.")
    trust_remote_code: bool = Field(default=False, description="Run the Python code that comes with the model.")
    model_cache: Path = Field(description="Folder for converted base models; may be shared and may be removed.")
    cache: Path | None = Field(
        default=None, description="Folder in which the model's answers are remembered; may be shared and be removed."
    )
    rows: Path | None = Field(
        default=None, description="Parquet file of held-out instances: id, task, prompt, response, messages (or null)."
    )
    evaluate: Evaluate = Field(default_factory=Evaluate, description="What to measure.")
    precision: Precision = Field(
        default="auto", description="Precision of the weights; auto: bfloat16 where the device computes in it."
    )
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda:\d+)$", description='"cpu", or a GPU such as "cuda:0".')
    max_length: int | None = Field(
        default=None,
        ge=16,
        description="Tokens of a row at most, as in the fine-tune; what the model reads when absent.",
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of few-shot examples and of sampling tasks.")

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if (self.model is None) == (self.base_model is None):
            raise ValueError("exactly one of model and base_model must be given")
        if self.adapter is not None and self.base_model is None:
            raise ValueError("an adapter needs the base_model it was trained on")
        if self.evaluate.held_out and self.rows is None:
            raise ValueError("evaluate.held_out needs rows; give them or set it to false")
        if not (self.evaluate.held_out or self.evaluate.tasks or self.evaluate.collections):
            raise ValueError("nothing to evaluate: set evaluate.held_out, or name evaluate.tasks or collections")
        return self

    @property
    def reference(self) -> str:
        """What the weights come from: the base model as it was named, or the checkpoint's folder."""
        return self.base_model or str(self.model)
