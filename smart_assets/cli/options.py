"""Options that several commands take, and which of them go together: what does nothing is refused, never ignored.

A command that does several things declares its modes. Every option that can be left out belongs to a mode, so a new one
cannot be forgotten: the command line does not start without it.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer
from typer.core import TyperCommand

from smart_assets.core.safe_text import printable

Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="SMART_CONFIG", help="The smart.yaml, or its folder.", show_default="./smart.yaml"),
]

Json = Annotated[bool, typer.Option("--json", help="As JSON, everything.")]

Arguments = ParamSpec("Arguments")

_EVERYWHERE = frozenset({"config"})
_GIVEN = frozenset({"COMMANDLINE", "ENVIRONMENT"})


@dataclass(frozen=True, slots=True)
class Mode:
    """One of the things that a command does; parameters are named as those of its function."""

    by: str | None  # the parameter that asks for it; None for what happens without any of these
    takes: tuple[str, ...] = ()  # what else does something then
    needs: tuple[str, ...] = ()  # what must be given as well


def print_error(sentence: str) -> None:
    """Say on stderr what went wrong, harmless for a terminal."""
    print(f"error: {printable(sentence)}", file=sys.stderr)


def refuse(sentence: str) -> NoReturn:
    """End a command that was called wrongly: one sentence on stderr, and exit status 2."""
    print_error(sentence)
    raise typer.Exit(2)


def command(
    app: typer.Typer, *modes: Mode, name: str | None = None
) -> Callable[[Callable[Arguments, None]], Callable[Arguments, None]]:
    """Register a function as a command of a Typer app; without modes it does one thing, and all its options count."""
    return app.command(name, cls=_with_modes(modes))


def _with_modes(modes: Sequence[Mode]) -> type[TyperCommand]:
    class ModalCommand(TyperCommand):
        """Refuses what its modes do not take, before the command begins."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.modes = modes
            optional = {str(param.name) for param in self.params if not param.required} - _EVERYWHERE
            if modes and optional != _known(modes):
                raise TypeError(
                    f"the modes of `{self.name}` and its options differ in {sorted(optional ^ _known(modes))}"
                )

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Refuse a value that another one would replace, then parse."""
            _, _, order = self.make_parser(ctx).parse_args(list(args))
            for parameter, count in Counter(order).items():
                if count > 1 and _takes_one_value(parameter):
                    refuse(f"{_shown(parameter)} is given {count} times: it takes one value")
            return super().parse_args(ctx, args)

        def invoke(self, ctx: Any) -> Any:
            """Refuse what does not go together, then begin."""
            given = [str(parameter.name) for parameter in self.params if _is_given(ctx, str(parameter.name))]
            names = {str(parameter.name): _shown(parameter) for parameter in self.params}
            problem = what_is_wrong(modes, given, names) if modes else None
            if problem is not None:
                refuse(problem)
            return super().invoke(ctx)

    return ModalCommand


def _known(modes: Sequence[Mode]) -> set[str]:
    return {name for mode in modes for name in (mode.by, *mode.takes, *mode.needs) if name is not None}


def what_is_wrong(modes: Sequence[Mode], given: Sequence[str], names: dict[str, str]) -> str | None:
    """Return the first thing that is wrong with what was given to a command, as a sentence; None if nothing is.

    Args:
        modes: of the command.
        given: the parameters that were given, in order; those that must be given may be among them.
        names: of all parameters, as people write them.
    """
    asked = [mode for mode in modes if mode.by in given] or [mode for mode in modes if mode.by is None]
    choices = [names[mode.by] for mode in modes if mode.by is not None]
    if not asked:
        return f"give one of {_listed(choices)}"
    if len(asked) > 1:
        return f"{_listed([names[str(mode.by)] for mode in asked], 'and')} do not go together: give one of them"
    [mode] = asked
    for name in given:
        if name in _known(modes) and name not in (mode.by, *mode.takes, *mode.needs):
            return _does_nothing(name, mode, modes, names)
    missing = [names[name] for name in mode.needs if name not in given]
    return f"{names[str(mode.by)]} needs {_listed(missing, 'and')}" if missing else None


def _does_nothing(name: str, mode: Mode, modes: Sequence[Mode], names: dict[str, str]) -> str:
    if mode.by is not None:
        return f"{names[name]} does nothing with {names[mode.by]}: leave one of them out"
    where = [
        names[mode_of_name.by]
        for mode_of_name in modes
        if mode_of_name.by is not None and name in (*mode_of_name.takes, *mode_of_name.needs)
    ]
    return f"{names[name]} does something only with {_listed(where)}"


def _takes_one_value(param: Any) -> bool:
    return param.param_type_name == "option" and not param.multiple and not param.is_flag


def _is_given(ctx: Any, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name in _GIVEN and ctx.params.get(name) not in (None, [], ())


def _shown(param: Any) -> str:
    return str(param.opts[0]) if param.param_type_name == "option" else str(param.name).upper()


def _listed(names: Sequence[str], word: str = "or") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
