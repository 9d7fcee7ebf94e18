"""Tasks that no model is trained on: `evaluate.unseen_tasks` keeps them out of scores and subsets."""

from collections.abc import Iterable
from difflib import get_close_matches

from smart_assets.core.errors import SelectionError
from smart_assets.settings import Project

_MOST_NAMES = 5


def unseen_parameter(project: Project) -> dict[str, list[str]]:
    """Return the unseen tasks as a parameter of a step.

    None at all where there are none, so that nothing is made again.
    """
    unseen = sorted(set(project.settings.evaluate.unseen_tasks))
    return {"unseen_tasks": unseen} if unseen else {}


def seen_tasks(unseen: Iterable[str], tasks: Iterable[str]) -> list[str]:
    """Return the tasks that rows may be selected from, in order of name.

    Args:
        unseen: the tasks to keep out.
        tasks: all tasks of all sources.

    Raises:
        SelectionError: an unseen task is not among the tasks, or no task is left.
    """
    known, kept_out = sorted(set(tasks)), set(unseen)
    unknown = sorted(kept_out - set(known))
    if unknown:
        named = "; ".join(f"{name!r} (names like it: {_near(name, known)})" for name in unknown[:_MOST_NAMES])
        more = f", and {len(unknown) - _MOST_NAMES} more" if len(unknown) > _MOST_NAMES else ""
        raise SelectionError(f"evaluate.unseen_tasks names tasks that no source has: {named}{more}; correct the names")
    seen = [task for task in known if task not in kept_out]
    if not seen and kept_out:
        raise SelectionError(
            f"evaluate.unseen_tasks names all {len(known)} tasks, so that none is left to select from; take some out"
        )
    return seen


def _near(name: str, known: list[str]) -> str:
    return ", ".join(get_close_matches(name, known)) or "none"
