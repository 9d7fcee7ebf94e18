"""No command drops an option in silence: a combination is refused, or each option in it changes what comes out.

Every combination of up to three options, and in the slow tests of all of them, is run on a copy of a small project, and
again with one option less. What is printed and what lies in the project afterwards must differ. A new option is in no
table here and fails until it has a value.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import typer.testing
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from smart_assets.cli import export, reproduce, run, sql, start
from smart_assets.cli.main import app
from smart_assets.cli.options import Mode, command
from smart_assets.core.errors import SmartError
from smart_assets.forgetting.find import by_ids, by_task
from smart_assets.forgetting.tombstone import forget
from smart_assets.lineage.audit.reader import AuditReader
from smart_assets.promotion.log import promote
from smart_assets.reproduce.reproduction import Reproduction
from smart_assets.reproduce.subset import SubsetComparison
from smart_assets.settings import load_project
from smart_assets.tasks.tombstones import read_tombstones
from smart_assets_tests.support.artifacts import grow_older
from smart_assets_tests.support.documented_project import write_key
from smart_assets_tests.support.projects import own_copy
from smart_assets_tests.support.three_runs import HOSTILE


def commands_of(group: Any, path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in group.commands.items():
        found |= commands_of(one, f"{path}{name} ") if hasattr(one, "commands") else {f"{path}{name}": one}
    return found


ROOT = typer.main.get_command(app)
COMMANDS = commands_of(ROOT)

# What must be given. `KEY`, `ROW`, `OTHER` and `OLD` stand for a tombstone, rows, and an earlier version of a subset.
REQUIRED: dict[str, list[str]] = {
    "init": ["new"],
    "sample": ["new"],
    "export": ["10", "random", "out"],
    "document": ["10", "random", "out"],
    "promote": ["10", "smart"],
    "reproduce": ["10", "smart"],
    "diff": ["10/smart", "15/smart"],
    "audit row": ["ROW"],
    "audit text": ["Task 1 item 8"],
    "audit task": ["plain"],
    "audit source": ["small"],
    "audit model": ["10", "smart"],
}

# Flags have no value; `--config` is given to every command that takes it.
VALUES: dict[tuple[str, str], str] = {
    ("sample", "seed"): "5",
    ("run", "select"): "raw_tasks",
    ("export", "seed"): "1",
    ("export", "trainer"): "axolotl",
    ("document", "seed"): "1",
    ("document", "sign"): "key.pem",
    ("sql", "query"): "SELECT range AS asked FROM range(9)",
    ("sql", "export"): "store.duckdb",
    ("sql", "limit"): "3",
    ("promote", "seed"): "1",
    ("promote", "because"): "of its score",
    ("rollback", "because"): "of its answers",
    ("forget", "ids"): "OTHER",
    ("forget", "task"): HOSTILE,
    ("forget", "match"): "item 9",
    ("forget", "where"): "id <> ''",
    ("forget", "because"): "of a wish",
    ("forget", "undo"): "KEY",
    ("verify", "signatures"): "documents",
    ("verify", "public_key"): "key.pub.pem",
    ("reproduce", "version"): "OLD",
    ("reproduce", "seed"): "1",
    ("reproduce", "keep"): "kept",
    ("dev", "port"): "3999",
    ("audit row", "similar"): "0.1",
    ("audit text", "similar"): "0.1",
    ("audit model", "seed"): "1",
    ("audit model", "out"): "audit.html",
}

# What else must be so before some options have something to do.
ALSO_WITH: dict[str, list[str]] = {
    "plan": ["nothing forgotten"],
    "sql": ["a file there", "a terminal"],
    "verify": ["damage"],
}

PIPED = "FROM range(7);"


def optional(name: str) -> list[str]:
    return [str(one.name) for one in COMMANDS[name].params if not one.required and one.name != "config"]


def combined(names: list[str], most: int) -> Iterator[frozenset[str]]:
    """All combinations of at most so many options."""
    for count in range(min(most, len(names)) + 1):
        yield from map(frozenset, combinations(names, count))


@pytest.fixture(scope="module")
def world(past_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two promotions, a forgotten row, and things to collect."""
    project = own_copy(past_project.root, tmp_path_factory.mktemp("world"))
    settings = yaml.safe_load(project.config.read_text()) | {"retention": {"newest": 1, "days": 1}}
    project.config.write_text(yaml.safe_dump(settings))
    project = load_project(project.root)
    grow_older(project.store, 30)
    promote(project, 10, "smart", 0, "first")
    promote(project, 15, "smart", 0, "second")
    reader = AuditReader(project)
    ids = sorted(by_task(reader, "plain").ids)
    forget(project, reader, by_ids(reader, ids[:1]), "of a wish")
    write_key(project.root, "key", ec.generate_private_key(ec.SECP256R1()))
    return project.root


@dataclass(frozen=True)
class Outcome:
    """What came of a command; times and random names are left out."""

    status: int
    printed: str
    changed: bool  # whether a file of the project was written, made or removed
    left: dict[str, str]  # in the project, where it was changed


class Commands:
    """Runs commands in copies of a project, each combination once, and says what came of it."""

    def __init__(self, world: Path, tmp_path: Path) -> None:
        project = load_project(world)
        reader = AuditReader(project)
        ids = sorted(by_task(reader, "plain").ids)
        self.world, self.root = world, tmp_path / "project"
        self.fresh: dict[str, tuple[int, int]] | None = None
        self.words = {
            "KEY": read_tombstones(project.store).active[0].key,
            "ROW": ids[1],
            "OTHER": ids[2],
            "OLD": project.store.history("selected_subset", "10|smart")[-1].content_version,
        }

    def arguments(self, name: str, given: frozenset[str]) -> list[str]:
        words = [*name.split(), *REQUIRED.get(name, [])]
        for one in COMMANDS[name].params:
            if one.name == "config":
                words += ["--config", "."]
            elif one.name in given:
                option = [one.opts[0]] if one.param_type_name == "option" else []
                words += option if getattr(one, "is_flag", False) else [*option, VALUES[name, one.name]]
        return [self.words.get(word, word) for word in words]

    def run(self, arguments: list[str], also_with: str | None = None) -> Outcome:
        """Run on a fresh copy; the last one still is where nothing was changed."""
        if state(self.root) != self.fresh:
            shutil.rmtree(self.root, ignore_errors=True)
            shutil.copytree(self.world, self.root, symlinks=True)
            self.fresh = state(self.root)
        if also_with == "damage":
            next(self.root.glob(".smart/artifacts/task_scores/*/scores.parquet")).write_bytes(b"damaged")
        elif also_with == "nothing forgotten":
            shutil.rmtree(self.root / ".smart" / "forgotten")
        elif also_with == "a file there":
            (self.root / VALUES["sql", "export"]).write_text("of another kind")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            patch.setattr(sql, "IN_TERMINAL", also_with == "a terminal")
            result = CliRunner().invoke(app, arguments, input=PIPED)
        failure = result.exception
        assert failure is None or isinstance(failure, SmartError | SystemExit), (arguments, failure)
        told = str(failure) if isinstance(failure, SmartError) else ""
        changed = state(self.root) != self.fresh
        left = left_in(self.root) if changed else {}
        return Outcome(result.exit_code, masked(result.stdout + result.stderr + told), changed, left)


def state(root: Path) -> dict[str, tuple[int, int]]:
    """Sizes and times of all files: what changes when something is written."""
    found = {str(path): path.lstat() for path in root.rglob("*") if not path.is_dir()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def masked(text: str) -> str:
    for pattern in (r"\d{4}-?\d\d-?\d\d[T ][\d:.+Z~]+", r"\b[0-9a-f]{12}\b(?!-)", r"[\d.]+ (s|ms|kB|MB)\b"):
        text = re.sub(pattern, "?", text)
    return text


def left_in(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix not in {".lock", ".duckdb"}:
            content = path.read_bytes()
            text = masked(content.decode()) if path.suffix in {".json", ".yaml", ".html", ".md"} else ""
            found[masked(str(path.relative_to(root)))] = text or sha256(content).hexdigest()
    return found


@pytest.fixture
def commands(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """With what takes long, or never ends, replaced by a line that says what it was asked for."""
    monkeypatch.setattr(run, "make_current", lambda _, targets: print(sorted(map(str, targets))))
    monkeypatch.setattr(export, "make_current", lambda *_, **__: None)
    monkeypatch.setattr(start.os, "execv", lambda *command: print(command))
    monkeypatch.setattr(start, "require_instance", lambda _: print("to be started"))

    def derived(project: Any, subset: Any, folder: Path, extent: Any, _: Any) -> Reproduction:
        (folder / "derived").write_text("here")
        same = SubsetComparison(subset.content_version, subset.content_version, None)
        newest = subset == project.store.current(subset.asset, subset.partition)
        return Reproduction(subset.partition, same, notes=(f"{extent} of the newest: {newest}",))

    monkeypatch.setattr(reproduce, "reproduce", derived)
    monkeypatch.setattr(typer.testing, "_get_command", lambda _: ROOT)  # built once, not for every combination
    return Commands(world, tmp_path)


def test_every_option_of_every_command_has_a_value_here() -> None:
    assert REQUIRED.keys() <= COMMANDS.keys()
    for name, one in COMMANDS.items():
        assert (name in REQUIRED) == any(param.required for param in one.params), name
        options = {param.name for param in one.params if param.name in optional(name)}
        flags = {param.name for param in one.params if getattr(param, "is_flag", False)}
        assert options - flags == {option for other, option in VALUES if other == name}, name
        assert hasattr(one, "modes"), f"{name} is registered past `command`, which refuses what does not go together"


@pytest.mark.parametrize("most", [3, pytest.param(99, marks=pytest.mark.slow, id="all")])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_combination_drops_an_option(commands: Commands, name: str, most: int) -> None:
    worlds = [None, *ALSO_WITH.get(name, [])]
    outcomes: dict[frozenset[str], list[Outcome]] = {}
    for given in combined(optional(name), most):
        arguments = commands.arguments(name, given)
        first = commands.run(arguments)
        if first.status == 2:
            assert re.match(r"error: \S+.* \S+", first.printed), f"no sentence: {arguments}"
            assert not first.changed, "what is refused changes nothing"
            continue
        outcomes[given] = [first, *(commands.run(arguments, one) for one in worlds[1:])]
    assert outcomes, "nothing can be done with it"
    assert {option for given in outcomes for option in given} == set(optional(name)), "an option that is never taken"
    for given, outcome in outcomes.items():
        for option in given:
            assert outcome != outcomes.get(given - {option}), f"{name} with {sorted(given)} drops {option}"


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("forget --undo KEY OTHER", "IDS and --undo do not go together: give one of them"),
        ("forget --list --task plain", "--task and --list do not go together: give one of them"),
        ("forget --list --dry-run", "--dry-run does nothing with --list: leave one of them out"),
        ("forget --because x", "give one of IDS, --task, --match, --where, --undo or --list"),
        ("forget OTHER", "IDS needs --because"),
        ("forget --task plain --task other --because x", "--task is given 2 times: it takes one value"),
        ("sql --json --csv SELECT", "--json and --csv do not go together: give one of them"),
        ("sql --limit 3 --export out.duckdb", "--limit does nothing with --export: leave one of them out"),
        ("sql --texts SELECT", "--texts does something only with --export"),
        ("sql --export out.duckdb SELECT", "QUERY does nothing with --export: leave one of them out"),
        ("verify --repair --signatures documents", "--repair does nothing with --signatures: leave one of them out"),
        ("verify --signatures documents", "--signatures needs --public-key"),
        ("verify --public-key key.pub.pem", "--public-key does something only with --signatures"),
        ("reproduce 10 smart --seed 1", "--seed does something only with --train"),
        ("plan --all --json", "--all does nothing with --json: leave one of them out"),
        ("diff 10/smart 15/smart --json --rows", "--rows does nothing with --json: leave one of them out"),
        (
            "export 10 smart out.jsonl --seed 0",
            "--seed does nothing for 10|smart: its rows are the same for every seed",
        ),
        ("run --config . --config ..", "--config is given 2 times: it takes one value"),
    ],
)
def test_what_would_be_dropped_is_refused_with_a_sentence(commands: Commands, typed: str, sentence: str) -> None:
    outcome = commands.run([commands.words.get(word, word) for word in typed.split()])
    assert outcome.status == 2
    assert outcome.printed.startswith(f"error: {sentence}")
    assert not outcome.changed


@pytest.mark.parametrize("name", [name for name, one in COMMANDS.items() if "dry_run" in optional(name)])
def test_a_dry_run_writes_nothing(commands: Commands, name: str) -> None:
    """Whatever stands beside `--dry-run`; without it the same does write."""
    wrote: set[str] = set()
    for given in combined(optional(name), 3):
        if "dry_run" in given:
            dry = commands.run(commands.arguments(name, given))
            assert not dry.changed, given
            if dry.status == 0 and commands.run(commands.arguments(name, given - {"dry_run"})).changed:
                wrote |= given
    assert wrote, "nothing that it does writes"


def test_an_option_that_no_mode_declares_does_not_start() -> None:
    other = typer.Typer()

    @command(other, Mode(None, takes=("known",)))
    def some(known: bool = False, new: bool = False) -> None:
        """Has an option that nobody thought of."""

    with pytest.raises(TypeError, match=r"the modes of `some` and its options differ in \['new'\]"):
        typer.main.get_command(other)
