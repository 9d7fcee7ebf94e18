"""The whole of `smart.yaml` as one validated value, and the reading of the file."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from smart_assets.comparison.settings import Report
from smart_assets.contamination.settings import Contamination
from smart_assets.core.errors import SettingsError
from smart_assets.core.metrics import OWN_METRICS
from smart_assets.core.section import Name, Section
from smart_assets.embedding.settings import Embedding, Index
from smart_assets.evaluation.settings import Evaluate
from smart_assets.mixture.recipes import Recipe
from smart_assets.mixture.sweeps import expand_sweeps
from smart_assets.selection.settings import Selection
from smart_assets.settings.automation import Automation, Notify, Promotion
from smart_assets.store.settings import Retention
from smart_assets.tasks.sources import Source, Validation
from smart_assets.training.settings import Finetune


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise ValueError("allowed are `auto`, `cpu`, `cuda` and `cuda:N`")
    return text


class GpuResources(Section):
    """What embedding, index, checkpoint and eval assets ask of a cluster, unless `device` is `cpu`."""

    count: int = Field(default=1, ge=1, description="GPUs a step asks for.")
    kubernetes_resource: str = Field(default="nvidia.com/gpu", description="The cluster's name for a GPU.")


class Settings(Section):
    """`smart.yaml`. Relative paths start at the folder that holds the file."""

    store: str = Field(default=".smart", description="Where everything made lies: a folder or an fsspec URL.")
    sources: dict[Name, Source] = Field(min_length=1, description="Task collections by name; one partition each.")
    refused_warning: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of a source's rows above which a check warns that they are refused.",
    )
    validation: Validation = Field(default_factory=Validation, description="Which rows are held out for evaluation.")
    embedding: Embedding = Field(default_factory=Embedding, description="The prompt encoder.")
    index: Index = Field(default_factory=Index, description="The similarity index and the near-duplicate threshold.")
    selection: Selection = Field(default_factory=Selection, description="What orders instances, and what it may take.")
    contamination: Contamination = Field(
        default=Contamination(), description="Which training rows hold evaluation text, and whether they are kept out."
    )
    budgets: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1, description="Total budgets N' in rows; one partition each."
    )
    recipes: dict[Name, Recipe] = Field(
        min_length=1, description="Mixture recipes by name; one partition each. A sweep stands for several."
    )
    finetune: Finetune = Field(description="Base model and fine-tuning parameters.")
    evaluate: Evaluate = Field(
        default_factory=Evaluate, description="What every checkpoint and the base model is evaluated on."
    )
    report: Report = Field(default=Report(), description="What the report counts as no worse.")
    automation: Automation = Field(default=Automation(), description="Sensor and schedule.")
    promotion: Promotion | None = Field(
        default=None, description="The rule by which models are promoted; null: people alone promote."
    )
    retention: Retention = Field(default=Retention(), description="What `smart gc` leaves in the store.")
    notify: Notify = Field(default=Notify(), description="Who is told of failed runs and finished retrainings.")
    device: Annotated[str, AfterValidator(_device)] = Field(
        default="auto", description="`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`."
    )
    executor: Literal["in_process", "multiprocess", "k8s", "ray"] = Field(
        default="in_process",
        description="Where Dagster runs steps. `in_process` and `multiprocess` ignore GPU resource tags.",
    )
    gpu: GpuResources = Field(default=GpuResources(), description="GPU resources that assets declare.")

    @model_validator(mode="before")
    @classmethod
    def _recipes_by_preset(cls, value: Any) -> Any:
        """Take a list of preset names for recipes of the same names."""
        if not (isinstance(value, dict) and isinstance(value.get("recipes"), list)):  # pyright: ignore[reportUnknownMemberType]
            return value
        names: list[Any] = value["recipes"]
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ValueError(f"a list of `recipes` holds names of presets, each once; got {names}")
        return {**value, "recipes": {name: name for name in names}}

    @field_validator("recipes", mode="before")
    @classmethod
    def _expand_sweeps(cls, value: Any) -> Any:
        """Take a list in place of one parameter for a recipe for each of its values."""
        return expand_sweeps(value) if isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _distinct_tasks(self) -> Self:
        """Refuse two sources that can only have the same task; of others it shows when they are read."""
        owners: dict[str, str] = {}
        for source, settings in self.sources.items():
            task = settings.only_task
            if task is not None and owners.setdefault(task, source) != source:
                raise ValueError(
                    f"the sources `{owners[task]}` and `{source}` both have the task `{task}`, and a task lies in one "
                    "source: set `task_prefix` for one of them"
                )
        return self

    @model_validator(mode="after")
    def _known_recipes(self) -> Self:
        unknown = sorted(set(self.automation.not_retrained) - set(self.recipes))
        if unknown:
            raise ValueError(
                f"`automation.not_retrained` names no recipe: {', '.join(unknown)}; there are {', '.join(self.recipes)}"
            )
        return self

    @model_validator(mode="after")
    def _distinct_budgets(self) -> Self:
        if len(set(self.budgets)) < len(self.budgets):
            raise ValueError(f"`budgets` names a budget twice: {list(self.budgets)}")
        return self

    @model_validator(mode="after")
    def _promotion_is_possible(self) -> Self:
        rule = self.promotion
        if rule is None:
            return self
        if rule.budget not in self.budgets or rule.recipe not in self.recipes:
            raise ValueError(
                f"`promotion` names {rule.budget}|{rule.recipe}, which is not among `budgets` and `recipes`"
            )
        measured = ["held_out"] * self.evaluate.held_out + [*self.evaluate.collections, *self.evaluate.tasks]
        if rule.benchmark not in measured:
            raise ValueError(f"`promotion.benchmark` is {rule.benchmark}; `evaluate` measures {', '.join(measured)}")
        self._require_measured(rule)
        return self

    def _require_measured(self, rule: Promotion) -> None:
        """Refuse a metric that no row gives.

        Of rows, what is measured is known; what an lm-eval benchmark measures shows when it is evaluated.
        """
        if rule.benchmark in self.evaluate.tasks:
            return
        metric = OWN_METRICS.get(rule.metric)
        if metric is None:
            raise ValueError(
                f"`promotion.metric` of the collection {rule.benchmark} is one of {', '.join(OWN_METRICS)}; "
                f"got {rule.metric}"
            )
        if metric.measured_on == "choices" and not self.evaluate.choices:
            raise ValueError(f"`promotion.metric` {rule.metric} needs `evaluate.choices`, which is off")
        if metric.measured_on == "answers" and not self.evaluate.generate.rows_per_task:
            raise ValueError(f"`promotion.metric` {rule.metric} needs `evaluate.generate.rows_per_task` above 0")


class _NoDuplicateKeys(yaml.SafeLoader):
    """YAML lets a later key win in silence; a source given twice must be an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_settings(path: Path) -> Settings:
    """Read and validate `smart.yaml`.

    Raises:
        SettingsError: the file is missing, not YAML, or breaks rules: each with its field's path, value and rule.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_NoDuplicateKeys)  # noqa: S506  (derived from SafeLoader)
    except FileNotFoundError as error:
        raise SettingsError(
            f"{path} is not there: `smart init DIR` writes one, `--config` or SMART_CONFIG names another"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold keys such as `sources:`; it holds {type(content).__name__}")
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        raise SettingsError(f"{path} breaks its rules:\n" + "\n".join(_explain(error, _expanded(content)))) from error


def _explain(error: ValidationError, content: Any) -> list[str]:
    return [
        f"  {_field_path(problem['loc'], content)}: {_shown(problem)}{problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors()
    ]


def _expanded(content: dict[str, Any]) -> dict[str, Any]:
    """Return the file with its sweeps as the recipes that they stand for, which errors name."""
    recipes = content.get("recipes")
    try:
        return {**content, "recipes": expand_sweeps(recipes)} if isinstance(recipes, dict) else content
    except ValueError:  # refused as a whole
        return content


def _field_path(location: tuple[int | str, ...], content: Any) -> str:
    """Return the path as written in the file: pydantic adds a union's tag, which no key of the file has."""
    parts: list[str] = []
    for index, part in enumerate(location):
        inner = content[part] if _has(content, part) else None
        if _has(content, part) or index == len(location) - 1:
            parts.append(str(part))
            content = inner
    return ".".join(parts) or "smart.yaml"


def _has(content: Any, part: int | str) -> bool:
    if isinstance(content, dict):
        return part in content
    return isinstance(content, list) and isinstance(part, int) and part < len(content)


def _shown(problem: Any) -> str:
    if problem["loc"][:1] == ("notify",):  # what was refused may be a secret
        return ""
    if problem["type"] == "missing":
        return ""
    if problem["type"] == "extra_forbidden":
        return "this key is not known here; "
    return f"got {problem['input']!r:.120}; "
