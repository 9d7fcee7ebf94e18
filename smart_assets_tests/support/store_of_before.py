"""A small store as an earlier version of the product made it, and the answers that version gave about it.

`golden/store_of_before.tar.xz` holds every asset of two runs: rows that changed in between, random row sets, two seeds,
dropped rows, a forgotten row that was taken out of the past, and two promotions. The report's page is blanks, for size.
`golden/store_of_before.json` holds the answers. Where one is meant to change,
`python -m smart_assets_tests.support.store_of_before` writes them anew.
"""

import json
import os
import shlex
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import yaml

GOLDEN = Path(__file__).parents[1] / "golden"
ARCHIVE = GOLDEN / "store_of_before.tar.xz"
ANSWERS = GOLDEN / "store_of_before.json"
ROW = "40714a3b7cfa1f614b49b5086fcddb41"
PAST = "9|random@f5fb0ce47738"
VIEWS = (
    "base_model_evals", "checkpoints", "dropped_rows", "evals", "evaluation_overlaps", "forgotten", "instances",
    "losses", "near_duplicates", "orderings", "origins", "past_subset_versions", "past_subsets", "rejected", "runs",
    "subsets", "task_budgets", "task_scores", "tasks", "trained_rows", "unsearched_evaluation_rows",
)  # fmt: skip
QUESTIONS = (
    "plan --json",
    f"audit row {ROW} --json",
    "audit task plain --json",
    "audit source small --json",
    "audit model 9 random --seed 1 --json",
    "audit model 6 smart --json",
    "diff '9|random' '6|random' --json",
    f"diff --checkpoints '9|random' '{PAST}' --json",
    "diff --checkpoints '9|random' '9|smart' --json",
    "models",
    "tasks",
    *(f"sql --json 'SELECT * FROM {view} ORDER BY ALL'" for view in VIEWS),  # noqa: S608
    "sql --json 'SELECT asset, count(*), sum(seconds)::VARCHAR FROM materializations GROUP BY ALL ORDER BY ALL'",
)
DOCUMENTS = "document 9 random {}"
FORECAST = "plan --json"


def unpack(folder: Path) -> Path:
    """Unpack the project into a folder; gives its root."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "kept"


def change(root: Path) -> None:
    """Change a row and the training, so that there is something to forecast."""
    settings = yaml.safe_load((root / "smart.yaml").read_text(encoding="utf-8"))
    settings["finetune"]["learning_rate"] = 0.001
    (root / "smart.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    tasks = root / "tasks" / "all.jsonl"
    row = {"t": "other", "prompt": "A prompt that is new", "response": "and its answer", "template": "t0"}
    tasks.write_text(tasks.read_text(encoding="utf-8") + json.dumps(row) + "\n", encoding="utf-8")


def answer(root: Path, question: str) -> Any:
    """What `smart` says, as JSON where it is asked for; paths are those within the project."""
    from typer.testing import CliRunner

    from smart_assets.cli.main import app

    command = [*shlex.split(question), "--config", str(root)]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, command)
    assert result.exit_code == 0, f"smart {question}: {result.output}"
    shown = result.stdout.replace(str(root), "ROOT")
    if "--json" in command:
        found = json.loads(shown, parse_float=lambda digits: float(f"{float(digits):.9g}"))
        return {**found, "hashed_at": "now"} if "hashed_at" in found else found
    return [line.rstrip() for line in shown.splitlines()]


def documents(root: Path) -> dict[str, Any]:
    """The documents of a random row set and its weights, by file."""
    out = root.parent / "documents"
    answer(root, DOCUMENTS.format(out))
    read = {
        path: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*")) if path.suffix in (".md", ".json")
    }
    return {
        path.relative_to(out).as_posix(): json.loads(text) if path.suffix == ".json" else text.splitlines()
        for path, text in read.items()
    }


def answers(folder: Path) -> dict[str, Any]:
    """All answers about the project, unpacked into a folder."""
    root = unpack(folder)
    found = {question: answer(root, question) for question in QUESTIONS}
    found["documents"] = documents(root)
    change(root)
    found["forecast"] = answer(root, FORECAST)
    return found


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as made:
        text = json.dumps(answers(Path(made).resolve()), indent=1, ensure_ascii=False)
    Path(sys.argv[1] if len(sys.argv) > 1 else ANSWERS).write_text(text + "\n", encoding="utf-8")
