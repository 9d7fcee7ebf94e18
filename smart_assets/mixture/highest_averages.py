"""A budget divided in proportion by the method of Sainte-Lague (Webster), with limits and seeded ties.

The seats of an entry with rate r have the prices 1/r, 3/r, 5/r, ...; the cheapest seats of all entries are taken, and
an entry has no more seats than its limit. The order of the seats does not depend on how many are taken, so whoever has
a seat of a smaller budget keeps it in a larger one, with limits too. No divisor method but this one leans neither
towards large entries nor towards small ones (Balinski and Young, Fair Representation, 1982).
"""

import json
from collections.abc import Sequence
from fractions import Fraction
from hashlib import blake2b
from math import lcm

from smart_assets.core.errors import BudgetError


def tie_key(seed: int | None, *names: str) -> bytes:
    """Return an entry's place among those that tie with it: a hash of seed and names, whatever others there are."""
    return blake2b(json.dumps([seed, *names]).encode(), digest_size=16).digest()


def highest_averages(rates: Sequence[float], limits: Sequence[int], total: int, ties: Sequence[bytes]) -> list[int]:
    """Divide `total` seats in proportion to `rates`, at most `limits` each; all three sequences have one length m.

    Rates are taken as the exact numbers that they are, and need not sum to 1. Of equal prices the lower of `ties`
    comes first. A rate of 0 has no seat. Takes time in the order of m log m, however many seats there are.

    Raises:
        BudgetError: `total` is not in [0, sum of the limits whose rate is above 0].
    """
    weights = _integers(rates)
    limits = [limit if weight else 0 for weight, limit in zip(weights, limits, strict=True)]
    if not 0 <= total <= sum(limits):
        raise BudgetError(f"the seats to divide must lie in [0, {sum(limits)}], what the limits allow; got {total}")
    # Prices go up in steps of 1 / scale, in which no entry has more than one seat: its prices are 2 / weight apart.
    scale = max([1, *weights])

    def affordable(step: int) -> list[int]:
        """Return the seats of each entry at a price of step / scale: all n with (2n - 1) / weight <= step / scale."""
        wanted = [(weight * step + scale) // (2 * scale) for weight in weights]
        return [min(seats, limit) for seats, limit in zip(wanted, limits, strict=True)]

    last_prices = (2 * scale * limit // weight for weight, limit in zip(weights, limits, strict=True) if weight)
    low, high = 0, max(last_prices, default=0)
    while low < high:  # the last step at which no more than `total` seats are affordable
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(affordable(middle)) <= total else (low, middle - 1)
    seats, more = affordable(low), affordable(low + 1)
    left = total - sum(seats)
    next_seats = [entry for entry, (now, then) in enumerate(zip(seats, more, strict=True)) if then > now]
    next_seats.sort(key=lambda entry: (Fraction(2 * seats[entry] + 1, weights[entry]), ties[entry]))
    for entry in next_seats[:left]:
        seats[entry] += 1
    return seats


def _integers(rates: Sequence[float]) -> list[int]:
    """Whole numbers in exactly the proportions of the rates."""
    exact = [Fraction(rate) for rate in rates]
    common = lcm(*(rate.denominator for rate in exact))
    return [int(rate * common) for rate in exact]
