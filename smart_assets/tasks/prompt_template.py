"""A text with names of columns in braces: `{instruction}\\n\\n{input}`.

A name is looked up and nothing else: no attribute, no index and no format is evaluated. `{{` and `}}` stand for braces.
"""

import re
from collections.abc import Mapping

_PART = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


def columns_of(template: str) -> tuple[str, ...]:
    """Return the columns that a template names, each once.

    Raises:
        ValueError: a brace stands alone, or no column is named.
    """
    names: dict[str, None] = {}
    for part in _PART.finditer(template):
        if part[0] in ("{", "}"):
            raise ValueError(f"a brace of {template!r} has no other: write {{column}}, and {{{{ or }}}} for a brace")
        if part[1] is not None:
            names[part[1]] = None
    if not names:
        raise ValueError(f"{template!r} names no column: write {{column}} where its text is to stand")
    return tuple(names)


def filled(template: str, texts: Mapping[str, str]) -> str:
    """Return a template with the text of each column in its place; texts are not looked through for braces."""
    return _PART.sub(lambda part: part[0][0] if part[1] is None else texts[part[1]], template)
