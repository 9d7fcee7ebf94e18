"""The commands of `smart audit`: what each takes."""

from pathlib import Path
from typing import Annotated

import typer

from smart_assets.cli.options import Config, Json, command

audit = typer.Typer(help="Which rows went into which model, and the way back.", no_args_is_help=True)

Similar = Annotated[
    float | None,
    typer.Option(
        "--similar", min=0, max=1, help="Cosine from which on prompts are alike.", show_default="index.near_duplicate"
    ),
]


@command(audit, name="row")
def audit_row(
    row: Annotated[str, typer.Argument(help="A row's id, or its first 8 hex digits or more.")],
    config: Config = None,
    similar: Similar = None,
    json_: Json = False,
) -> None:
    """Find every subset and checkpoint, now and in the past, that holds a row or one like it."""
    from smart_assets.cli.audit import show_row

    show_row(config, row, similar, json_)


@command(audit, name="text")
def audit_text(
    text: Annotated[str, typer.Argument(help="A prompt or a response.")],
    config: Config = None,
    similar: Similar = None,
    json_: Json = False,
) -> None:
    """Find the rows with a prompt or response, those with a prompt like it, and what holds them."""
    from smart_assets.cli.audit import show_text

    show_text(config, text, similar, json_)


@command(audit, name="task")
def audit_task(
    task: Annotated[str, typer.Argument(help="A task's name.")], config: Config = None, json_: Json = False
) -> None:
    """Find every subset and checkpoint, now and in the past, with rows of a task."""
    from smart_assets.cli.audit import show_task

    show_task(config, task, json_)


@command(audit, name="source")
def audit_source(
    source: Annotated[str, typer.Argument(help="A source's name.")], config: Config = None, json_: Json = False
) -> None:
    """Find every subset and checkpoint, now and in the past, with rows of a source."""
    from smart_assets.cli.audit import show_source

    show_source(config, source, json_)


@command(audit, name="model")
def audit_model(
    model: Annotated[
        list[str], typer.Argument(help="BUDGET RECIPE (the newest), or a folder of weights, or a content version.")
    ],
    config: Config = None,
    seed: Annotated[int | None, typer.Option(help="Which seed's weights.", show_default="the first")] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON, every row.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write one HTML page that needs no network.")] = None,
) -> None:
    """Say what a model was trained on, row by row, and hash the chain from raw files to weights anew."""
    from smart_assets.cli.audit import show_model

    raise typer.Exit(show_model(config, model, seed, json_, out))
