"""Text that is safe to show in a terminal."""


def printable(text: str) -> str:
    """Text without control characters: names and rows come from files, and a terminal would obey them."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
