"""Tasks about facts of the Unicode CLDR, which the package `babel` carries.

Only countries whose names and currencies have long been settled, and need no article, are asked for: then a newer
CLDR writes the same sample.
"""

from collections.abc import Iterator
from datetime import date
from random import Random
from typing import TYPE_CHECKING

from smart_assets.core.errors import SourceError
from smart_assets.sample.dates import MONTHS, WEEKDAYS
from smart_assets.sample.task import SampleRow, SampleTask, phrased

if TYPE_CHECKING:
    from babel import Locale

COUNTRY_CODES = """
AL AM AR AT AU BE BO BR CA CH CL CN CO CR CU CY DE DK DZ EE EG ES ET FI FR GR GT HN HU ID IE IL IN IQ IR IS IT JM JO
JP KE KR KW KZ LB LK LT LU LV LY MA MG MN MT MX MY NG NI NO NP NZ OM PE PK PL PT PY RO RS RU SE SG SI SK TH TN TZ UA
UG UY UZ ZM
"""
COUNTRIES = tuple(COUNTRY_CODES.split())
LANGUAGES = {"German": "de", "Spanish": "es", "French": "fr", "Italian": "it"}
CURRENCIES_ON = date(2024, 1, 1)  # without a day babel takes today's


def country_currency(rng: Random) -> Iterator[SampleRow]:
    """Ask for the legal tender of a country.

    Raises:
        SourceError: `babel` is not installed.
    """
    english = _locale("en")
    from babel.numbers import get_territory_currencies

    while True:
        code = rng.choice(COUNTRIES)
        (currency,) = get_territory_currencies(code, CURRENCIES_ON, CURRENCIES_ON)
        country = english.territories[code]
        yield phrased(
            rng,
            english.currencies[str(currency)],
            ("question", f"What is the name of the currency of {country}?"),
            ("pay", f"Which currency do people pay with in {country}?"),
        )


def name_in_language(rng: Random) -> Iterator[SampleRow]:
    """Ask for countries, months and weekdays in German, Spanish, French and Italian, each once.

    Raises:
        SourceError: `babel` is not installed.
    """
    english = _locale("en")
    instances: list[SampleRow] = []
    for language, code in LANGUAGES.items():
        locale = _locale(code)
        months, weekdays = locale.months["stand-alone"]["wide"], locale.days["stand-alone"]["wide"]
        names = [("country", english.territories[key], locale.territories[key]) for key in COUNTRIES]
        names += [("month", name, months[number]) for number, name in enumerate(MONTHS, 1)]
        names += [("weekday", name, weekdays[number]) for number, name in enumerate(WEEKDAYS)]
        instances += [
            SampleRow(kind, f"What is the {kind} {name} called in {language}?", translated)
            for kind, name, translated in names
        ]
    rng.shuffle(instances)
    yield from instances


def _locale(code: str) -> "Locale":
    try:
        from babel import Locale
    except ModuleNotFoundError as error:
        raise SourceError(
            "the bundled sample takes its facts from the package babel, which is not installed; "
            "install it with: pip install 'smart-assets[demo]'"
        ) from error
    return Locale(code)


TASKS = (
    SampleTask("country_currency", 65, country_currency),
    SampleTask("name_in_language", 220, name_in_language),
)
