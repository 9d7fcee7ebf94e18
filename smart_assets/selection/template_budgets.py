"""How a task budget is split over the task's templates, in the arithmetic of the SMART reference.

In proportion to the templates' rows, so that a task's formats keep their shares. FLAN's four template types are split
in two levels, zero-shot against few-shot and then options against none; any other templates at once.
"""

from collections.abc import Mapping, Sequence

from smart_assets.errors import BudgetError

FLAN_SHOTS = (("zs_opt", "zs_noopt"), ("fs_opt", "fs_noopt"))
"""FLAN's template types: zero-shot, then few-shot; each with options, then without."""


def template_budgets(sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    """Split `budget` over templates with `sizes` rows each, given in template order; never beyond a template's rows.

    The result has the same keys and sums to `budget`. What flooring leaves over goes out one by one in template order.

    Raises:
        BudgetError: `budget` is not in [0, sum of sizes].
    """
    if not 0 <= budget <= sum(sizes.values()):
        raise BudgetError(f"a task's budget must lie in [0, {sum(sizes.values())}], its rows; got {budget}")
    if not sizes.keys() <= {template for shot in FLAN_SHOTS for template in shot}:
        return _split(sizes, budget)
    shots = [{template: sizes[template] for template in shot if template in sizes} for shot in FLAN_SHOTS]
    shot_budgets = _proportional([sum(shot.values()) for shot in shots], budget)
    parts = [_split(shot, share) for shot, share in zip(shots, shot_budgets, strict=True)]
    return {template: part[template] for template in sizes for part in parts if template in part}


def _split(sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    return dict(zip(sizes, _proportional(list(sizes.values()), budget), strict=True))


def _proportional(sizes: Sequence[int], budget: int) -> list[int]:
    """Shares of `budget` <= sum(sizes); floors stay below their size, so that one more each never exceeds it."""
    total = max(sum(sizes), 1)
    shares = [budget * size // total for size in sizes]
    left = budget - sum(shares)
    for position in [position for position, size in enumerate(sizes) if size][:left]:
        shares[position] += 1
    return shares
