"""`smart plan`."""

from dataclasses import asdict
from pathlib import Path

from smart_assets.assets.step import Inputs
from smart_assets.cli.terminal import console, literal, print_json, print_table, shortened
from smart_assets.core.progress import duration
from smart_assets.planning.forecast import Cost, ForecastStep, forecast, total
from smart_assets.planning.graph import desired_states, read_current_state
from smart_assets.planning.notes import plan_notes
from smart_assets.planning.plan import CurrentState, make_plan
from smart_assets.settings import Project, load_project
from smart_assets.store import Manifest


def show_plan(config: Path | None, everything: bool, as_json: bool) -> None:
    """Print the plan: each partition that is not current, why, and what it will cost; then how many there are."""
    project = load_project(config)
    desired = desired_states(project)
    current_state = read_current_state(project)
    plan = make_plan(desired, current_state, frozenset(item.key for item in desired))
    steps = forecast(project, desired, plan, current_state)
    notes = plan_notes(project, plan, current_state)
    if as_json:
        print_json({**_as_json(steps, current_state), **({"notes": notes} if notes else {})})
        return
    rows = [
        _plan_row(step, current_state.current(step.step.key))
        for step in steps
        if everything or step.step.status != "current"
    ]
    if rows:
        columns = ["asset", "status", "version", "why", "work", "time", "memory"]
        shown = [index for index, _ in enumerate(columns) if any(row[index] for row in rows)]
        print_table([columns[index] for index in shown], [[row[index] for index in shown] for row in rows])
    up_to_date = sum(step.status == "current" for step in plan)
    console.print(literal(f"{up_to_date} of {len(plan)} partitions are up to date"))
    if any(step.cost is not None for step in steps):
        console.print(literal(_total_in_words(steps)))
    for note in notes:
        console.print(literal(note, "yellow"))


def _plan_row(forecast_step: ForecastStep, manifest: Manifest | None) -> list[object]:
    cost = forecast_step.cost or Cost()
    return [
        forecast_step.step.key,
        forecast_step.step.status,
        shortened(manifest.content_version if manifest else None),
        "\n".join(forecast_step.step.why),
        ", ".join(_work_in_words(cost)),
        "" if cost.seconds is None else duration(cost.seconds),
        "" if cost.peak_memory_bytes is None else f"{cost.peak_memory_bytes / 1e9:.1f} GB",
    ]


def _total_in_words(steps: list[ForecastStep]) -> str:
    """Return what all steps cost at most; waiting ones may turn out to have nothing to do."""
    cost, to_do = total(steps), [step for step in steps if step.cost is not None]
    untold = sum(step.cost is not None and step.cost.seconds is None for step in to_do)
    words = _work_in_words(cost)
    if untold < len(to_do):
        words.append(f"{duration(cost.seconds or 0)} by earlier runs")
    if cost.peak_memory_bytes is not None:
        words.append(f"{cost.peak_memory_bytes / 1e9:.1f} GB at the peak")
    if untold:
        words.append(f"no earlier run to tell the time of {untold} of {len(to_do)} partitions")
    return f"to do, at most: {', '.join(words)}"


def _work_in_words(cost: Cost) -> list[str]:
    """Such as "1 group to order"; the JSON keeps the plural as its key."""
    words = ((amount, *what.split(" ", 1)) for what, amount in cost.work.items())
    return [f"{amount:,} {noun.removesuffix('s') if amount == 1 else noun} {rest}" for amount, noun, rest in words]


def _as_json(steps: list[ForecastStep], current_state: CurrentState) -> dict[str, object]:
    made = {step.step.key: current_state.current(step.step.key) for step in steps}
    return {
        "partitions": [
            {
                "asset": step.step.key.asset,
                "partition": step.step.key.partition,
                "status": step.step.status,
                "version": manifest.content_version if (manifest := made[step.step.key]) else None,
                "reasons": step.step.reasons,
                "after": [str(key) for key in step.step.after],
                "cost": step.cost and asdict(step.cost),
            }
            for step in steps
        ],
        "total": asdict(total(steps)),
    }


def everything_made(project: Project) -> Inputs:
    """Return the current manifests of all partitions that were ever made."""
    current = read_current_state(project).current
    manifests = {item.key: current(item.key) for item in desired_states(project)}
    return Inputs(project.store, {key: manifest for key, manifest in manifests.items() if manifest is not None})
