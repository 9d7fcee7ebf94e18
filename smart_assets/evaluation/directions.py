"""Which way is better, as an evaluation records it: for lm-eval's metrics its own word, else that of the settings."""

from collections.abc import Collection, Mapping
from typing import Any

from smart_assets.core.errors import EvaluationError
from smart_assets.core.metrics import DIRECTIONS_SETTING, OWN_METRICS, Direction, agreed


def settle_directions(
    benchmark: str, by_lm_eval: Mapping[str, Any], by_settings: Mapping[str, str]
) -> dict[str, bool | None]:
    """Return `higher_is_better` of each metric (by its name without a filter); None where neither declares it.

    Raises:
        EvaluationError: the settings contradict lm-eval.
    """
    settled = {metric: value if isinstance(value, bool) else None for metric, value in by_lm_eval.items()}
    for metric, word in by_settings.items():
        direction, theirs = Direction(word), Direction.recorded(settled.get(metric))
        if theirs.is_known and theirs is not direction:
            raise EvaluationError(
                f"{DIRECTIONS_SETTING} says that a {direction} {metric} of {benchmark} is better, and lm-eval declares "
                f"that a {theirs} one is: take the line out, or change `higher_is_better` in a copy of the task's YAML "
                "under `evaluate.include_path`"
            )
        settled[metric] = direction.higher_is_better
    return settled


def require_measured(benchmark: str, by_settings: Collection[str], measured: Collection[str]) -> None:
    """Refuse a setting that declares what a benchmark does not measure.

    Raises:
        EvaluationError: the message lists its metrics.
    """
    known = {name.partition(",")[0] for name in measured}
    astray = sorted(set(by_settings) - known)
    if astray:
        raise EvaluationError(
            f"{DIRECTIONS_SETTING}: {benchmark} has no metric {', '.join(astray)}; it has {', '.join(sorted(known))}"
        )


def recorded_direction(result: Mapping[str, Any], benchmark: str, metric: str) -> Direction:
    """Return what `result.json` says, which manifests hold as their summary, also those of before directions.

    Of lm-eval's tasks it holds what they declare, and one direction must be common to all that measure the metric; what
    is no benchmark of lm-eval holds metrics of ours.
    """
    tasks: Mapping[str, Mapping[str, Any]] | None = result.get("benchmarks", {}).get(benchmark)
    if tasks is None:
        own = OWN_METRICS.get(metric)
        return Direction.UNKNOWN if own is None else own.direction
    name = metric.partition(",")[0]
    declared = [task["higher_is_better"] for task in tasks.values() if name in task.get("higher_is_better", {})]
    return agreed(Direction.recorded(each[name] if isinstance(each[name], bool) else None) for each in declared)
