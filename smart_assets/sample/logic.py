"""Tasks about logic. Made-up nouns keep world knowledge out: only the words of the prompt decide."""

import operator
from collections.abc import Iterator
from random import Random

from smart_assets.sample.task import SampleRow, SampleTask, phrased

OPERATORS = {"and": operator.and_, "or": operator.or_}
KINDS = ("wug", "zorp", "blick", "dax", "fep", "gorp", "kiv", "lorp", "mib", "plim", "quon", "tove")
NAMES = ("Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Lena", "Nora", "Oscar", "Rosa", "Simon")


def boolean_value(rng: Random) -> Iterator[SampleRow]:
    """Ask for the value of Boolean expressions of three values in Python's notation."""
    while True:
        first, second, third = (rng.random() < 0.5 for _ in range(3))
        inner, outer = rng.choice(tuple(OPERATORS)), rng.choice(tuple(OPERATORS))
        value = OPERATORS[inner](first, second)
        negated = rng.choice(("", "not "))
        expression = f"{negated}({first} {inner} {second}) {outer} {third}"
        answer = OPERATORS[outer](value != bool(negated), third)
        yield phrased(
            rng,
            str(answer),
            ("question", f"Is this expression True or False: {expression}?"),
            ("command", f"Evaluate the boolean expression {expression}."),
        )


def syllogism(rng: Random) -> Iterator[SampleRow]:
    """Ask for conclusions that surely hold (Yes) or surely do not (No)."""
    while True:
        a, b, c = rng.sample(KINDS, 3)
        name = rng.choice(NAMES)
        yield rng.choice(
            (
                SampleRow("member", f"All {a}s are {b}s. {name} is a {a}. Is {name} a {b}?", "Yes"),
                SampleRow("stranger", f"No {a} is a {b}. {name} is a {a}. Is {name} a {b}?", "No"),
                SampleRow("chain", f"All {a}s are {b}s. All {b}s are {c}s. Are all {a}s {c}s?", "Yes"),
                SampleRow("broken_chain", f"All {a}s are {b}s. No {b} is a {c}. Is any {a} a {c}?", "No"),
            )
        )


TASKS = (
    SampleTask("boolean_value", 80, boolean_value),
    SampleTask("syllogism", 55, syllogism),
)
