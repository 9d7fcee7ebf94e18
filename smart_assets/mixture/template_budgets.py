"""How a task budget is split over the task's templates: in proportion to their rows, so that formats keep their shares.

FLAN's four template types are split as the SMART reference does it, in two levels: zero-shot against few-shot and then
options against none. Any other templates are split at once, by the method of `highest_averages`.
"""

from collections.abc import Mapping, Sequence

from smart_assets.core.errors import BudgetError
from smart_assets.mixture.highest_averages import highest_averages, tie_key
from smart_assets.mixture.task_budgets import cap_and_redistribute

FLAN_SHOTS = (("zs_opt", "zs_noopt"), ("fs_opt", "fs_noopt"))
"""FLAN's template types: zero-shot, then few-shot; each with options, then without."""


def template_budgets(
    sizes: Mapping[str, int],
    budget: int,
    task: str = "",
    *,
    flan_levels: bool = True,
    limits: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Split `budget` over templates with `sizes` rows each; never beyond a template's limit.

    The result has the same keys and sums to `budget`, and what a template has of a smaller budget it keeps in a larger
    one. At once, templates that tie for a row have it in an order of the task's own; in two levels, what flooring
    leaves over goes out in template order.

    Args:
        sizes: rows of each template.
        budget: rows to take.
        task: the task's name.
        flan_levels: whether FLAN's template types, where there are no others, are split in two levels.
        limits: how many rows each template can give, under the same keys; its size where None.

    Raises:
        BudgetError: `budget` is not in [0, sum of limits].
    """
    limits = sizes if limits is None else limits
    if not 0 <= budget <= sum(limits.values()):
        raise BudgetError(f"a task's budget must lie in [0, {sum(limits.values())}], its rows; got {budget}")
    if flan_levels and sizes.keys() <= {template for shot in FLAN_SHOTS for template in shot}:
        split = _in_two_levels(sizes, budget)
        capped = cap_and_redistribute(list(split.values()), [limits[template] for template in split])
        return dict(zip(split, capped.tolist(), strict=True))
    rows = list(sizes.values())
    # With the task's name in it, or tasks with the same templates would all leave out the same ones.
    ties = [tie_key(None, task, template) for template in sizes]
    return dict(zip(sizes, highest_averages(rows, list(limits.values()), budget, ties), strict=True))


def _in_two_levels(sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    shots = [{template: sizes[template] for template in shot if template in sizes} for shot in FLAN_SHOTS]
    shot_budgets = _floored([sum(shot.values()) for shot in shots], budget)
    budgets: dict[str, int] = {}
    for shot, share in zip(shots, shot_budgets, strict=True):
        budgets |= zip(shot, _floored(list(shot.values()), share), strict=True)
    return {template: budgets[template] for template in sizes}


def _floored(sizes: Sequence[int], budget: int) -> list[int]:
    """Shares of `budget` <= sum(sizes); floors stay below their size, so that one more each never exceeds it."""
    total = max(sum(sizes), 1)
    shares = [budget * size // total for size in sizes]
    left = budget - sum(shares)
    for position in [position for position, size in enumerate(sizes) if size][:left]:
        shares[position] += 1
    return shares
