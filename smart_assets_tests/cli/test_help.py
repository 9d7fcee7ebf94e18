"""The help of every command says what its author wrote."""

import re
from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

from smart_assets.cli.main import app


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def words(text: str) -> list[str]:
    """Letters and brackets, without what draws boxes or breaks lines."""
    return re.findall(r"[\w\[\]`|.-]+", text.replace("│", " "))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_shows_every_word_of_it(path: tuple[str, ...]) -> None:
    """Rich takes `[partition]` for a style, and would show nothing in its place."""
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "240", "TERM": "dumb"})
    assert shown.exit_code == 0
    texts = [COMMANDS[path].help or "", *(getattr(each, "help", None) or "" for each in COMMANDS[path].params)]
    missing = [word for text in texts for word in words(text.replace("\\[", "[")) if word not in words(shown.output)]
    assert missing == []


def test_a_partition_is_shown_in_its_brackets() -> None:
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "240", "TERM": "dumb"})
    assert "`asset[partition]`" in shown.output
