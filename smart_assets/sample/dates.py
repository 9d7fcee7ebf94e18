"""Tasks about the calendar. English names stand here, because `calendar.month_name` follows the machine's locale."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

from smart_assets.sample.task import SampleRow, SampleTask, phrased

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
FIRST_DAY = date(1990, 1, 1)


def day_after(rng: Random) -> Iterator[SampleRow]:
    """Ask for the day after a date between 1990 and 2031, or the weekday some days after a weekday."""
    while True:
        day = FIRST_DAY + timedelta(days=rng.randrange(15_000))
        start, days = rng.randrange(7), rng.randint(2, 20)
        weekday = f"Today is {WEEKDAYS[start]}. Which weekday will it be in {days} days?"
        yield rng.choice(
            (
                SampleRow("date", f"Which date comes right after {_written(day)}?", _written(day + timedelta(days=1))),
                SampleRow("weekday", weekday, WEEKDAYS[(start + days) % 7]),
            )
        )


def days_in_month(rng: Random) -> Iterator[SampleRow]:
    """Ask for the length of a month, leap years included."""
    while True:
        year, month = rng.randint(1990, 2030), rng.randint(1, 12)
        length = monthrange(year, month)[1]
        yield phrased(rng, f"{length} days", ("question", f"How many days are there in {MONTHS[month - 1]} {year}?"))


def _written(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


TASKS = (
    SampleTask("day_after", 110, day_after),
    SampleTask("days_in_month", 40, days_in_month),
)
