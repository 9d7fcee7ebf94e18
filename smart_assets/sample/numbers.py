"""Tasks about numbers. `add_two_numbers` and `sum_of_two_numbers` are near twins: a good mixture needs only one."""

from collections.abc import Iterator
from random import Random

from smart_assets.sample.task import SampleRow, SampleTask, phrased

# (larger unit, smaller unit, how many of the smaller make one of the larger)
UNITS = (
    ("minutes", "seconds", 60),
    ("hours", "minutes", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("centuries", "years", 100),
    ("kilometers", "meters", 1000),
    ("meters", "centimeters", 100),
    ("centimeters", "millimeters", 10),
    ("kilograms", "grams", 1000),
    ("liters", "milliliters", 1000),
    ("feet", "inches", 12),
    ("yards", "feet", 3),
)


def add_two_numbers(rng: Random) -> Iterator[SampleRow]:
    """Ask for sums of two numbers below 100."""
    while True:
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        yield phrased(
            rng,
            str(a + b),
            ("question", f"What is the sum of the numbers {a} and {b}?"),
            ("command", f"Add the numbers {a} and {b} and give the result."),
            ("symbols", f"Solve this addition and give the result: {a} + {b}."),
        )


def sum_of_two_numbers(rng: Random) -> Iterator[SampleRow]:
    """Ask, as a twin, for the same sums in almost the same words."""
    while True:
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        yield phrased(
            rng,
            str(a + b),
            ("question", f"What is the sum of the two numbers {a} and {b}?"),
            ("command", f"Add the two numbers {a} and {b} and give the sum."),
        )


def subtract_numbers(rng: Random) -> Iterator[SampleRow]:
    """Ask for differences that are never negative."""
    while True:
        a, b = rng.randint(2, 99), rng.randint(1, 50)
        yield phrased(
            rng,
            str(a),
            ("question", f"How much is left when {b} is taken away from {a + b}?"),
            ("command", f"Subtract {b} from {a + b} and write the difference."),
            ("story", f"Ana has {a + b} coins and spends {b} of them. How many coins does she keep?"),
        )


def multiply_numbers(rng: Random) -> Iterator[SampleRow]:
    """Ask for products out of the multiplication table up to 12."""
    while True:
        a, b = rng.randint(2, 12), rng.randint(2, 12)
        yield phrased(rng, str(a * b), ("question", f"What do you get when you multiply {a} by {b}?"))


def largest_number(rng: Random) -> Iterator[SampleRow]:
    """Ask for the largest of two to five different numbers."""
    while True:
        numbers = rng.sample(range(1, 1000), rng.randint(2, 5))
        listed = ", ".join(map(str, numbers))
        pair = ("pair", f"Which of the two numbers is larger, {numbers[0]} or {numbers[-1]}?")
        several = ("several", f"Which one is the largest of these numbers: {listed}?")
        yield phrased(rng, str(max(numbers)), pair if len(numbers) == 2 else several)


def next_in_sequence(rng: Random) -> Iterator[SampleRow]:
    """Ask for the next of a sequence whose step stays the same; the prompt says so, hence there is one answer."""
    while True:
        start, step = rng.randint(1, 30), rng.randint(2, 12)
        shown = ", ".join(str(start + step * place) for place in range(4))
        prompt = f"The numbers {shown} always grow by the same step. Which number comes next?"
        yield phrased(rng, str(start + 4 * step), ("question", prompt))


def convert_units(rng: Random) -> Iterator[SampleRow]:
    """Ask for whole amounts of time, length, mass and volume in a larger or a smaller unit."""
    while True:
        larger, smaller, factor = rng.choice(UNITS)
        amount = rng.randint(2, 30)
        wide, narrow = f"{amount} {larger}", f"{amount * factor} {smaller}"
        yield rng.choice(
            (
                SampleRow("question", f"How many {smaller} are there in {wide}?", narrow),
                SampleRow("command", f"Convert a quantity of {wide} to {smaller}.", narrow),
                SampleRow("larger_unit", f"Write {narrow} as a number of {larger}.", wide),
            )
        )


TASKS = (
    SampleTask("add_two_numbers", 400, add_two_numbers),
    SampleTask("sum_of_two_numbers", 120, sum_of_two_numbers),
    SampleTask("subtract_numbers", 180, subtract_numbers),
    SampleTask("multiply_numbers", 70, multiply_numbers),
    SampleTask("largest_number", 140, largest_number),
    SampleTask("next_in_sequence", 45, next_in_sequence),
    SampleTask("convert_units", 330, convert_units),
)
