"""What an evaluation measures: the `evaluate` section of `smart.yaml`."""

from functools import lru_cache
from typing import Annotated, Literal, Self, cast

from pydantic import (
    Field,
    StringConstraints,
    create_model,
    model_validator,
)

from smart_assets.core.metrics import HELD_OUT, OWN_METRICS
from smart_assets.core.section import Name, Section, allowed
from smart_assets.tasks.source_kind import SourceKind
from smart_assets.tasks.sources import DEFAULT_KIND, OfAnyKind

_Text = Annotated[str, StringConstraints(min_length=1)]
_CHOICES = [f"`{name}`" for name, metric in OWN_METRICS.items() if metric.measured_on == "choices"]


class SourceCollection(SourceKind):
    """A source of any kind to evaluate on, and how much of it."""

    max_rows_per_task: int | None = Field(
        default=None,
        ge=1,
        description="Rows of each task at most, the first by id; `evaluate.max_rows_per_task` when absent.",
    )

    @model_validator(mode="after")
    def _keeps_nothing(self) -> Self:
        if self.columns.keep:
            raise ValueError("`columns.keep` does nothing here: rows that are only evaluated on are not kept")
        return self


@lru_cache
def _collection_of(kind: type[SourceKind]) -> type[SourceCollection]:
    """Return the settings of a kind of source with those of a collection beside them."""
    model = create_model(
        f"{kind.__name__.removesuffix('Source')}Collection", __base__=(kind, SourceCollection), __doc__=kind.__doc__
    )
    return cast("type[SourceCollection]", model)


TaskCollection = Annotated[SourceCollection, OfAnyKind(_collection_of, DEFAULT_KIND)]
"""Rows that are only ever evaluated on. `kind` may be left out for a folder."""


BatchSize = Annotated[
    Annotated[int, Field(ge=1)] | Literal["auto"], allowed("an integer greater than or equal to 1, and `auto`")
]


class Generate(Section):
    """Which rows the model answers in its own words, to be compared with the response by ROUGE-L."""

    min_words: int = Field(
        default=12, ge=1, description="Only tasks whose responses have so many words or more, by the median."
    )
    rows_per_task: int = Field(default=8, ge=0, description="Rows of such a task, the first by id; 0: none.")
    max_tokens: int = Field(default=96, ge=1, description="Tokens that the model writes at most.")


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
    unseen_tasks: list[_Text] = Field(
        default=[],
        description="Tasks of the sources that no row is ever selected from: what was learnt elsewhere is measured on "
        "their held-out rows.",
    )
    collections: dict[Name, TaskCollection] = Field(
        default={}, description="Task collections to evaluate on besides, by name, each in the form of a source."
    )
    choices: bool = Field(
        default=True,
        description="Rank the few distinct responses of a collection's task for each row, which gives "
        f"{', '.join(_CHOICES[:-1])} and {_CHOICES[-1]}.",
    )
    generate: Generate = Field(
        default=Generate(), description="Answers in the model's own words, for tasks of long responses."
    )
    tasks: list[_Text] = Field(
        default=[], description="Names of lm-eval tasks, groups or tags to evaluate on besides, such as `mmlu`."
    )
    local_data: dict[_Text, _Text] = Field(
        default={},
        description="For a name in `tasks`: a folder of JSONL files that stand in for its datasets on the hub.",
    )
    metric_directions: dict[_Text, dict[_Text, Literal["lower", "higher"]]] = Field(
        default={},
        description="For a name in `tasks`: which values of a metric are better, `lower` or `higher`, where lm-eval "
        "does not declare it.",
    )
    include_path: str | None = Field(
        default=None,
        description="A folder of lm-eval task YAMLs, searched before lm-eval's own; their Python is run.",
    )
    limit: int | None = Field(
        default=None, ge=1, description="Rows of each lm-eval task, the first ones; all when absent."
    )
    batch_size: BatchSize = Field(
        default="auto", description="Rows the model sees at once at most; `auto`: as many as its memory bears."
    )
    num_fewshot: int | None = Field(
        default=None,
        ge=0,
        description="Worked examples before each row of an lm-eval task, where its YAML does not fix none.",
    )

    @model_validator(mode="after")
    def _benchmarks_differ(self) -> Self:
        twice = sorted({name for name in self.tasks if self.tasks.count(name) > 1})
        if twice:
            raise ValueError(f"tasks must differ; named more than once: {', '.join(twice)}")
        taken = sorted(self.collections.keys() & {HELD_OUT, *self.tasks})
        if taken:
            raise ValueError(f"collections need names of their own; taken already: {', '.join(taken)}")
        for setting in ("local_data", "metric_directions"):
            astray = sorted(getattr(self, setting).keys() - set(self.tasks))
            if astray:
                raise ValueError(f"{setting} is for names in tasks; not among them: {', '.join(astray)}")
        return self
