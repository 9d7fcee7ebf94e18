"""The commands of `smart`: what each takes. Their work is imported when they run, so that `--help` is instant."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from smart_assets.cli.audit_commands import audit
from smart_assets.cli.options import Config, Json, Mode, command, print_error
from smart_assets.core.errors import SmartError

app = typer.Typer(
    name="smart",
    help="SMART data mixtures for instruction tuning as Dagster assets: which rows of which tasks, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(audit, name="audit")


@command(app)
def init(
    folder: Annotated[Path, typer.Argument(help="The new project's folder.")],
    sample: Annotated[bool, typer.Option("--sample", help="Also write the bundled sample tasks.")] = False,
) -> None:
    """Start a project: a commented smart.yaml, and the Dagster files beside it."""
    from smart_assets.cli.start import init_project

    init_project(folder, sample)


@command(app)
def sample(
    folder: Annotated[Path, typer.Argument(help="Where the task files go.")],
    seed: Annotated[int, typer.Option(help="Another seed gives other rows.")] = 23,
) -> None:
    """Write the bundled sample tasks, generated from a seed."""
    from smart_assets.cli.start import write_sample_tasks

    write_sample_tasks(folder, seed)


@command(app, name="run")
def run_command(
    config: Config = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            "-s",
            help=r"An asset, or `asset\[partition]`; with all that it is made from. May be given again. Default: all.",
        ),
    ] = None,
) -> None:
    """Make what is out of date, in this process."""
    from smart_assets.cli.run import run_selected

    run_selected(config, select or [])


@command(app, Mode(None, takes=("all_",)), Mode("json_"))
def plan(
    config: Config = None,
    all_: Annotated[bool, typer.Option("--all", help="Also what is current.")] = False,
    json_: Json = False,
) -> None:
    """Say what is out of date, why, and what making it will cost."""
    from smart_assets.cli.plan import show_plan

    show_plan(config, all_, json_)


@command(app, Mode(None), Mode("json_"), Mode("csv"))
def tasks(
    config: Config = None,
    json_: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="The tasks as CSV.")] = False,
) -> None:
    """List every task and file: training, held-out, left-out and refused rows, and each recipe's weights."""
    from smart_assets.cli.tasks import show_tasks

    show_tasks(config, "json" if json_ else "csv" if csv else None)


@command(app)
def export(
    budget: Annotated[int, typer.Argument(help="A budget of smart.yaml.")],
    recipe: Annotated[str, typer.Argument(help="A recipe of smart.yaml.")],
    out: Annotated[Path, typer.Argument(help="FILE.jsonl, FILE.parquet, or a folder for a Hugging Face dataset.")],
    config: Config = None,
    seed: Annotated[int | None, typer.Option(help="The row set of this seed, where rows are random.")] = None,
    trainer: Annotated[
        str | None,
        typer.Option("--for", help="A folder for axolotl, llamafactory, open-instruct or trl, with its configuration."),
    ] = None,
) -> None:
    """Write a selected subset with its texts, without training anything."""
    from smart_assets.cli.export import export_subset

    export_subset(config, (budget, recipe), out, seed, trainer)


@command(app)
def document(
    budget: Annotated[int, typer.Argument(help="A budget of smart.yaml.")],
    recipe: Annotated[str, typer.Argument(help="A recipe of smart.yaml.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    config: Config = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights, and of the row set where rows are random.")] = None,
    sign: Annotated[
        Path | None, typer.Option(help="PEM of an elliptic curve key: sign the documents and the weights with it.")
    ] = None,
) -> None:
    """Write standard documents of the newest checkpoint and its rows: Croissant, CycloneDX, cards. Makes nothing."""
    from smart_assets.cli.export import document_mixture

    document_mixture(config, (budget, recipe), out, seed, sign)


_ANSWERS = ("query", "limit")


@command(
    app,
    Mode(None, takes=_ANSWERS),
    Mode("json_", takes=_ANSWERS),
    Mode("csv", takes=_ANSWERS),
    Mode("export", takes=("texts", "force")),
)
def sql(  # noqa: PLR0913, PLR0917  (the options of a command)
    query: Annotated[
        str | None, typer.Argument(help="Statements, each up to its `;`; without, they are read from stdin.")
    ] = None,
    config: Config = None,
    json_: Annotated[bool, typer.Option("--json", help="Answer as a JSON array of rows.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Answer as CSV, as into a pipe or a file.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Rows of each answer at most.", show_default="1000 in a terminal's table")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write all views as tables of this new DuckDB file instead.")
    ] = None,
    texts: Annotated[bool, typer.Option("--texts", help="With --export: also the texts of rows.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --export: replace a file that is there.")] = False,
) -> None:
    """Ask the store in SQL (DuckDB). Into a pipe or a file, answers are CSV, whole and exact."""
    from smart_assets.cli.sql import export_sql, run_sql

    if export is None:
        run_sql(config, query, "json" if json_ else "csv" if csv else None, limit)
    else:
        export_sql(config, export, texts, force)


@command(app)
def promote(
    budget: Annotated[int, typer.Argument(help="A budget of smart.yaml.")],
    recipe: Annotated[str, typer.Argument(help="A recipe of smart.yaml.")],
    config: Config = None,
    seed: Annotated[int | None, typer.Option(help="Which seed's weights.", show_default="the first")] = None,
    because: Annotated[str, typer.Option(help="Why, for the log.")] = "",
) -> None:
    """Make the newest checkpoint of a budget and recipe the project's production model."""
    from smart_assets.cli.models import promote_model

    promote_model(config, (budget, recipe), seed, because)


@command(app)
def rollback(
    config: Config = None,
    because: Annotated[str, typer.Option(help="Why, for the log.")] = "",
) -> None:
    """Make production what it was before the last promotion."""
    from smart_assets.cli.models import roll_back

    roll_back(config, because)


@command(app)
def models(config: Config = None) -> None:
    """List the newest checkpoints, which one is production, and where its weights are."""
    from smart_assets.cli.models import show_models

    show_models(config)


_FORGETS = ("dry_run", "json_")


@command(
    app,
    *(Mode(by, takes=_FORGETS, needs=("because",)) for by in ("ids", "task", "match", "where")),
    Mode("undo", takes=("because", *_FORGETS)),
    Mode("list_", takes=("json_",)),
)
def forget(  # noqa: PLR0913, PLR0917  (the options of a command)
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of rows, or their first 8 hex digits or more.")] = None,
    config: Config = None,
    task: Annotated[str | None, typer.Option(help="Forget a whole task, rows to come included.")] = None,
    match: Annotated[str | None, typer.Option(help="Forget all rows in which this stands, whatever its case.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Forget all rows for which this holds, in SQL over kept columns: author = 'x'.")
    ] = None,
    because: Annotated[str, typer.Option(help="Why, for everyone who asks later.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be forgotten, or what undoing would bring back.")
    ] = False,
    undo: Annotated[str | None, typer.Option(help="Take back the tombstone of this key.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show what was forgotten.")] = False,
    json_: Json = False,
) -> None:
    """Keep rows out of everything that is made from now on, and name what holds them."""
    from smart_assets.cli.forget import forget_rows, list_forgotten, undo_forgetting

    if list_:
        list_forgotten(config, json_)
    elif undo is not None:
        undo_forgetting(config, undo, because, dry_run, json_)
    else:
        forget_rows(config, (ids or [], task, match, where), because, dry_run, json_)


@command(app)
def gc(
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    forgotten: Annotated[
        bool, typer.Option("--forgotten", help="Take forgotten rows out of everything of the past, for good.")
    ] = False,
) -> None:
    """Remove from the store what `retention` in smart.yaml does not keep."""
    from smart_assets.cli.forget import remove_forgotten
    from smart_assets.cli.upkeep import collect_garbage

    if forgotten:
        remove_forgotten(config, dry_run)
    else:
        collect_garbage(config, dry_run)


@command(app, Mode(None, takes=("repair",)), Mode("signatures", needs=("public_key",)))
def verify(
    config: Config = None,
    repair: Annotated[bool, typer.Option("--repair", help="Move what is damaged away, to be made again.")] = False,
    signatures: Annotated[
        Path | None, typer.Option(help="Verify the signatures of a folder of documents instead; needs --public-key.")
    ] = None,
    public_key: Annotated[Path | None, typer.Option(help="PEM of the public half of the key that signed.")] = None,
) -> None:
    """Recompute every hash in the store and name what is damaged; or verify what `smart document --sign` signed."""
    from smart_assets.cli.upkeep import verify_documents, verify_store

    if signatures is None or public_key is None:
        verify_store(config, repair)
    else:
        verify_documents(config, signatures, public_key)


_DERIVES = ("version", "from_raw", "keep", "json_")


@command(app, Mode(None, takes=_DERIVES), Mode("train", takes=(*_DERIVES, "seed")))
def reproduce(  # noqa: PLR0913, PLR0917  (the options of a command)
    budget: Annotated[int, typer.Argument(help="A budget.")],
    recipe: Annotated[str, typer.Argument(help="A recipe.")],
    config: Config = None,
    version: Annotated[
        str | None, typer.Option(help="First digits of a version.", show_default="the newest subset")
    ] = None,
    from_raw: Annotated[bool, typer.Option("--from-raw", help="Also read the sources and embed again.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Also train again, and compare the weights.")] = False,
    seed: Annotated[int | None, typer.Option(help="Train this seed alone.", show_default="all")] = None,
    keep: Annotated[Path | None, typer.Option(help="A new folder in which the derived store stays.")] = None,
    json_: Json = False,
) -> None:
    """Derive a subset again in an empty store, and say whether it is the stored one."""
    from smart_assets.cli.reproduce import Extent, reproduce_subset

    reproduce_subset(config, (budget, recipe, version), Extent(from_raw, train, seed), keep, json_)


@command(app, Mode(None, takes=("checkpoints", "rows")), Mode("json_", takes=("checkpoints",)))
def diff(
    a: Annotated[str, typer.Argument(help="'BUDGET|RECIPE' (newest), 'BUDGET|RECIPE@VERSION', or a version alone.")],
    b: Annotated[str, typer.Argument(help="Likewise; BUDGET/RECIPE needs no quotes.")],
    config: Config = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="The names mean checkpoints.")] = False,
    rows: Annotated[bool, typer.Option("--rows", help="Also the ids of the rows in and out.")] = False,
    json_: Json = False,
) -> None:
    """Compare two subsets or two checkpoints: settings, inputs, tasks, rows, losses and scores."""
    from smart_assets.cli.diff import show_diff

    show_diff(config, (a, b), checkpoints, rows, json_)


@command(app)
def dev(
    config: Config = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Start the Dagster UI and daemon on 127.0.0.1."""
    from smart_assets.cli.start import start_dagster

    start_dagster(config, port)


def run() -> None:
    """Run the command line: errors for the user are one message and exit status 1, never a traceback."""
    try:
        app()
    except (SmartError, OSError) as error:
        print_error(str(error))
        sys.exit(1)
    finally:
        _let_go()


def _let_go() -> None:
    """Write what is left; where nobody reads any more, as after `| head`, that is no error to be told of."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
