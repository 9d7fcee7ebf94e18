"""The sensor that promotes by the rule of `smart.yaml`."""

import dagster as dg

from smart_assets.promotion.rule import consider
from smart_assets.settings import Project


def build_promotion_sensor(project: Project) -> dg.SensorDefinition | None:
    """`promotion`, where `smart.yaml` has a rule; what it decided and why stands at each of its ticks."""
    rule = project.settings.promotion
    if rule is None:
        return None

    @dg.sensor(
        name="promotion",
        description=f"Promotes the newest checkpoint of {rule.budget}|{rule.recipe} where it is known not to "
        "be worse by more than the margin than production, nor than the best production so far.",
        minimum_interval_seconds=project.settings.automation.watch_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def promotion() -> dg.SkipReason:
        project.require_unchanged()
        return dg.SkipReason(consider(project).sentence)

    return promotion
