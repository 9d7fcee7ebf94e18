"""What is planned and forecast for a small project."""

from typing import Any

import pyarrow.parquet as pq

from smart_assets.planning.forecast import forecast
from smart_assets.planning.graph import desired_states, read_current_state
from smart_assets.planning.plan import PlanStep, make_plan
from smart_assets.settings import Project
from smart_assets.store import Manifest


def whole_plan(project: Project) -> dict[str, PlanStep]:
    """Every partition by its key, with what the plan says of it."""
    desired = desired_states(project)
    plan = make_plan(desired, read_current_state(project), frozenset(item.key for item in desired))
    return {str(step.key): step for step in plan}


def current_plan(project: Project) -> dict[str, Any]:
    desired, current_state = desired_states(project), read_current_state(project)
    plan = make_plan(desired, current_state, frozenset(item.key for item in desired))
    return {str(one.step.key): one for one in forecast(project, desired, plan, current_state)}


def groups(project: Project, orderings: Manifest) -> dict[str, tuple[str, str]]:
    """The (task, template) of each group by its key, which tells whether it was ordered before."""
    rows = pq.read_table(project.store.artifact(orderings) / "groups.parquet").to_pylist()
    return {row["key"]: (row["task"], row["template"]) for row in rows}
