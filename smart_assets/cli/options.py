"""Options that several commands of `smart` take."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="SMART_CONFIG", help="The smart.yaml, or its folder.", show_default="./smart.yaml"),
]

Json = Annotated[bool, typer.Option("--json", help="As JSON, everything.")]
