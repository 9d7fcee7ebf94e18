"""What an evaluation measures: the `evaluate` section of `smart.yaml`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from smart_assets.section import Section


class Evaluate(Section):
    """Which benchmarks a model is measured on, and how much of each."""

    held_out: bool = Field(
        default=True, description="Measure the response loss and exact match on the held-out instances."
    )
    max_rows_per_task: int | None = Field(
        default=None,
        ge=1,
        description="Held-out instances a task gives at most, the first by id; all of them when absent.",
    )
    unseen_tasks: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[],
        description="Tasks of the sources that no row is ever selected from: what was learnt elsewhere is measured on "
        "their held-out rows.",
    )
    tasks: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[], description="Names of lm-eval tasks, groups or tags to evaluate on besides, such as `mmlu`."
    )
    include_path: str | None = Field(
        default=None,
        description="A folder of lm-eval task YAMLs, searched before lm-eval's own; their Python is run.",
    )
    limit: int | None = Field(
        default=None, ge=1, description="Rows of each lm-eval task, the first ones; all when absent."
    )
    batch_size: int = Field(default=16, ge=1, description="Rows the model sees at once; lower it when memory runs out.")
    num_fewshot: int | None = Field(
        default=None,
        ge=0,
        description="Worked examples before each row of an lm-eval task, where its YAML does not fix none.",
    )

    @model_validator(mode="after")
    def _tasks_differ(self) -> Self:
        twice = sorted({name for name in self.tasks if self.tasks.count(name) > 1})
        if twice:
            raise ValueError(f"tasks must differ; named more than once: {', '.join(twice)}")
        return self
