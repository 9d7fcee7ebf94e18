"""What happens without a person: the sensor and the schedule, the rule that promotes a model, and who is told."""

import os
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from smart_assets.core.errors import SettingsError
from smart_assets.core.metrics import HELD_OUT, HELD_OUT_METRICS, OWN_METRICS, RESPONSE_LOSS
from smart_assets.core.section import Section

_VARIABLE = "env:"
Cron = Annotated[str, StringConstraints(pattern=r"^\S+( \S+){4}$")]

Secret = Annotated[str, StringConstraints(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^\s@,<>]+@[^\s@,<>]+$")]


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("no such time zone; names look like `UTC` or `Europe/Berlin`") from error
    return name


class Automation(Section):
    """What happens without a person: watching the sources and retraining on a schedule."""

    watch: bool | None = Field(
        default=None,
        description="Start with the sensor `task_sources` on, which keeps subsets current; null: if `retrain` is set.",
    )
    watch_seconds: int = Field(default=60, ge=10, description="Least seconds between two looks at the sources.")
    quiet_seconds: int = Field(
        default=30,
        ge=0,
        description="Seconds without a change of its files after which a source is read: half-written files wait.",
    )
    attempts: int = Field(
        default=3, ge=1, description="Runs that may fail on the same state before nothing is tried until it changes."
    )
    retrain: Cron | None = Field(
        default=None,
        description="Cron expression (five fields) of the schedule `retrain`; null for no schedule.",
    )
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        default="UTC", description="Time zone of the cron expression, such as `Europe/Berlin`."
    )
    minimum_change: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of a subset's rows that must have changed since its last training to train it again.",
    )
    most_trainings: int = Field(
        default=4, ge=1, description="Checkpoints trained at one tick of `retrain` at most, the most changed first."
    )
    not_retrained: tuple[str, ...] = Field(
        default=(), description="Recipes that the schedule does not train; `smart run` still does."
    )
    evaluate_again: bool = Field(
        default=True,
        description="Evaluate models anew whose held-out rows or evaluation changed, also where they are not trained "
        "again, so that all stand on the same rows; false: the ticks of `retrain` name them.",
    )

    @property
    def watches(self) -> bool:
        """Whether the sensor starts switched on."""
        return self.retrain is not None if self.watch is None else self.watch


class Promotion(Section):
    """The rule by which a new checkpoint becomes production: it is known not to be worse by more than the margin than
    production, nor than the best production so far."""

    budget: int = Field(ge=1, description="The candidate's budget, one of `budgets`.")
    recipe: str = Field(description="The candidate's recipe, one of `recipes`.")
    metric: str = Field(
        default=RESPONSE_LOSS.name,
        min_length=1,
        description=f"What is compared: {', '.join(f'`{name}`' for name in OWN_METRICS)} of a collection "
        f"({', '.join(f'`{name}`' for name in HELD_OUT_METRICS)} of the held-out rows), or a metric of the lm-eval "
        "benchmark, as its evaluations name it.",
    )
    benchmark: str = Field(
        default=HELD_OUT,
        min_length=1,
        description="`held_out`, or one of `evaluate.collections` or `evaluate.tasks` that has several tasks.",
    )
    margin: float = Field(
        gt=0.0,
        allow_inf_nan=False,
        description="By how much worse, in the metric's unit, a new model may be at most; required.",
    )
    confidence: float = Field(
        default=0.95,
        ge=0.95,
        lt=1.0,
        description="Of the interval of the mean difference; with less, a worse model passes more than once in twenty.",
    )

    @model_validator(mode="before")
    @classmethod
    def _margin_is_set(cls, value: Any) -> Any:
        """Refuse a rule without a margin.

        No default would do: how much worse is bearable depends on the metric, and 0 promotes next to nothing.
        """
        if isinstance(value, dict) and not value.get("margin"):
            raise ValueError(
                "`margin` is required and above 0: by how much worse, in the unit of `metric`, a new model may be at "
                "most. About three standard errors of the difference let three of four equal models pass; "
                "docs/automation.md has the table"
            )
        return value

    @model_validator(mode="after")
    def _known_metric(self) -> Self:
        if self.benchmark == HELD_OUT and self.metric not in HELD_OUT_METRICS:
            more = "; choices are ranked on `evaluate.collections`" if self.metric in OWN_METRICS else ""
            raise ValueError(
                f"`metric` of the held-out rows is one of {', '.join(HELD_OUT_METRICS)}; got {self.metric}{more}"
            )
        return self


class Slack(Section):
    """Where Slack is told of failed runs; needs the extra `slack`."""

    channel: str = Field(min_length=1, description="Such as `#training`.")
    token: Secret = Field(description="`env:NAME`, the environment variable that holds the bot's token.")


class Email(Section):
    """Whom an e-mail tells of failed runs."""

    sender: Address = Field(alias="from", description="The sender, who is also the user at the server.")
    password: Secret = Field(description="`env:NAME`, the environment variable that holds the sender's password.")
    to: tuple[Address, ...] = Field(min_length=1, description="The addresses.")
    host: str = Field(min_length=1, description="The SMTP server.")
    port: int = Field(
        default=465, ge=1, le=65535, description="Its port: TLS from the start on 465, STARTTLS on others."
    )


class Notify(Section):
    """Who is told of failed runs and of finished retrainings."""

    webhook: Annotated[str, StringConstraints(pattern=r"^(https?://\S+|env:[A-Za-z_][A-Za-z0-9_]*)$")] | None = Field(
        default=None,
        repr=False,
        description="A http(s) URL that is sent JSON, or `env:NAME`, the environment variable that holds it.",
    )
    slack: Slack | None = Field(default=None, description="Told of failed runs.")
    email: Email | None = Field(default=None, description="Told of failed runs.")
    # Not `on`: YAML 1.1 reads that key as the boolean `true`.
    events: tuple[Literal["failed", "finished"], ...] = Field(
        default=("failed", "finished"),
        min_length=1,
        description="`failed`: any run of the project. `finished`: a retraining that made a checkpoint (webhook only).",
    )

    @model_validator(mode="after")
    def _failures_are_told(self) -> Self:
        if (self.slack or self.email) and "failed" not in self.events:
            raise ValueError("`slack` and `email` tell of failed runs alone, and `events` leaves these out")
        return self


def secret(value: str, setting: str) -> str:
    """Return a setting's value: itself, or that of the environment variable that `env:NAME` names.

    Raises:
        SettingsError: the variable is not set.
    """
    if not value.startswith(_VARIABLE):
        return value
    name = value.removeprefix(_VARIABLE)
    content = os.environ.get(name, "").strip()
    if not content:
        raise SettingsError(
            f"{setting} names the environment variable {name}, which is not set where Dagster runs: "
            "set it there and start Dagster again"
        )
    return content
