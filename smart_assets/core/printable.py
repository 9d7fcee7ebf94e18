"""Text that is safe to show in a terminal, and in what reaches one: logs and errors."""


def printable(text: str) -> str:
    """Text without control characters: names and rows come from files, and a terminal would obey them."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def in_line(text: str) -> str:
    """Printable text in one line: breaks in it are written out, so that it cannot pass for other lines."""
    return printable(text.replace("\n", "\\n").replace("\t", "\\t"))
