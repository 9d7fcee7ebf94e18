"""Tasks about single words and about lists of words or numbers."""

from collections.abc import Iterator
from random import Random

from smart_assets.sample.task import SampleRow, SampleTask, phrased

NOUNS = """
apple/apples army/armies baby/babies banana/bananas bench/benches berry/berries bird/birds boat/boats book/books
bottle/bottles box/boxes branch/branches bridge/bridges brush/brushes bus/buses butterfly/butterflies candle/candles
carrot/carrots castle/castles cherry/cherries child/children church/churches city/cities class/classes cloud/clouds
coat/coats coin/coins country/countries daisy/daisies desk/desks dish/dishes doctor/doctors dress/dresses
family/families farmer/farmers finger/fingers flower/flowers foot/feet forest/forests fox/foxes garden/gardens
glass/glasses goose/geese guitar/guitars hammer/hammers island/islands jacket/jackets kettle/kettles kitchen/kitchens
kitten/kittens knife/knives ladder/ladders lady/ladies leaf/leaves lemon/lemons letter/letters library/libraries
lion/lions loaf/loaves lunch/lunches man/men market/markets match/matches mirror/mirrors monkey/monkeys
mountain/mountains mouse/mice needle/needles orange/oranges painter/painters party/parties peach/peaches
pencil/pencils pillow/pillows planet/planets pocket/pockets pony/ponies potato/potatoes puppy/puppies rabbit/rabbits
river/rivers sandwich/sandwiches school/schools shelf/shelves shoulder/shoulders spider/spiders story/stories
table/tables teacher/teachers tiger/tigers tomato/tomatoes tooth/teeth tower/towers tree/trees turtle/turtles
umbrella/umbrellas village/villages wagon/wagons watch/watches window/windows witch/witches wolf/wolves woman/women
"""
PLURALS = {singular: plural for singular, _, plural in (noun.partition("/") for noun in NOUNS.split())}
WORDS = tuple(PLURALS)


def plural_noun(rng: Random) -> Iterator[SampleRow]:
    """Ask for regular and irregular plurals."""
    while True:
        word = rng.choice(WORDS)
        yield phrased(rng, PLURALS[word], ("question", f'What is the plural form of the English noun "{word}"?'))


def reverse_word(rng: Random) -> Iterator[SampleRow]:
    """Ask for the letters of a word from the last to the first."""
    while True:
        word = rng.choice(WORDS)
        yield phrased(rng, word[::-1], ("command", f'Spell the word "{word}" backwards, from its last letter.'))


def uppercase_word(rng: Random) -> Iterator[SampleRow]:
    """Ask for a word in capitals."""
    while True:
        word = rng.choice(WORDS)
        yield phrased(rng, word.upper(), ("command", f'Rewrite the word "{word}" so that every letter is a capital.'))


def first_letter(rng: Random) -> Iterator[SampleRow]:
    """Ask for the letter that a word begins with."""
    while True:
        word = rng.choice(WORDS)
        yield phrased(
            rng,
            word[0],
            ("question", f'What is the first letter of the word "{word}"?'),
            ("begin", f'With which letter does the word "{word}" begin?'),
        )


def count_letters(rng: Random) -> Iterator[SampleRow]:
    """Ask for the length of a word."""
    while True:
        word = rng.choice(WORDS)
        yield phrased(rng, str(len(word)), ("question", f'How many letters does the word "{word}" have?'))


def sort_list(rng: Random) -> Iterator[SampleRow]:
    """Ask for three to five different numbers by size, or words by the alphabet."""
    while True:
        words, numbers = rng.sample(WORDS, rng.randint(3, 5)), rng.sample(range(1, 100), rng.randint(3, 5))
        upwards = sorted(numbers)
        yield rng.choice(
            (
                SampleRow(
                    "words", f"Put these words into alphabetical order: {_listed(words)}.", _listed(sorted(words))
                ),
                SampleRow(
                    "upwards", f"Sort these numbers from smallest to largest: {_listed(numbers)}.", _listed(upwards)
                ),
                SampleRow(
                    "downwards",
                    f"Sort these numbers from largest to smallest: {_listed(numbers)}.",
                    _listed(upwards[::-1]),
                ),
            )
        )


def count_items(rng: Random) -> Iterator[SampleRow]:
    """Ask for the length of a list of two to eight words."""
    while True:
        words = rng.sample(WORDS, rng.randint(2, 8))
        yield phrased(rng, str(len(words)), ("question", f"How many things does this list name: {_listed(words)}?"))


def _listed(items: list[str] | list[int]) -> str:
    return ", ".join(map(str, items))


TASKS = (
    SampleTask("plural_noun", 40, plural_noun),
    SampleTask("reverse_word", 45, reverse_word),
    SampleTask("uppercase_word", 40, uppercase_word),
    SampleTask("first_letter", 90, first_letter),
    SampleTask("count_letters", 60, count_letters),
    SampleTask("sort_list", 280, sort_list),
    SampleTask("count_items", 50, count_items),
)
