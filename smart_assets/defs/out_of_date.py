"""What a tick leaves out of date, named with the reason: a tick says "up to date" only where the plan does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from smart_assets.assets.step import AssetPartition
from smart_assets.defs.requests import SkipRun
from smart_assets.planning.plan import PlanStep

UP_TO_DATE = "everything is up to date"


@dataclass(frozen=True, slots=True)
class SensorAnswers:
    """What a sensor would answer to a plan now."""

    sensor: str
    is_on: bool
    answers: Sequence[tuple[list[PlanStep], dg.RunRequest | SkipRun]]

    def lines(self) -> list[str]:
        """Each batch that is out of date, why, and who makes it or what is in the way."""
        return [self._line(steps, answer) for steps, answer in self.answers]

    def _line(self, steps: Sequence[PlanStep], answer: dg.RunRequest | SkipRun) -> str:
        waiting = [step.key for step in steps if step.status == "waiting"]
        why = reasons(steps) or f"{steps[0].key}: {steps[0].why[0]}"
        others = names(key for key in waiting if key != steps[0].key)
        why += f"; with it {others}" if others else ""
        if not self.is_on:
            return f"{why}; the sensor `{self.sensor}` is off: `smart run` makes it"
        if isinstance(answer, dg.RunRequest):
            return f"{why}; the sensor `{self.sensor}` makes it"
        return f"{why}; {answer.why}"


def left_out_of_date(
    plan: Iterable[PlanStep], named: Iterable[AssetPartition], sensors: Sequence[SensorAnswers]
) -> list[str]:
    """Return a line for whatever of the whole plan is out of date and was not named yet."""
    known = {*named, *(step.key for each in sensors for steps, _ in each.answers for step in steps)}
    rest = [step for step in plan if step.status != "current" and step.key not in known]
    messages = [line for each in sensors for line in each.lines()]
    messages += [f"{step.key}: {step.reasons[0]}" for step in rest if step.status == "blocked"]
    waiting = [step for step in rest if step.status != "blocked"]
    if waiting:
        messages.append(
            f"{names(step.key for step in waiting)}: made from what is out of date, and shows what there is"
        )
    return messages


def nothing_to_ask(plan: Sequence[PlanStep], mine: str) -> str:
    """Why a sensor asks for nothing where all that it looks after is current; `mine` says so in words."""
    others = [step.key for step in plan if step.status != "current"]
    if not others:
        return UP_TO_DATE
    more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
    return f"{mine}; out of date: {others[0]}{more}, see `smart plan`"


def names(keys: Iterable[AssetPartition]) -> str:
    """Partitions in words."""
    return ", ".join(map(str, keys))


def reasons(steps: Iterable[PlanStep]) -> str:
    """Why steps are out of date, without those that only wait for others."""
    return "; ".join(f"{step.key}: {', '.join(step.reasons)}" for step in steps if step.status != "waiting")
