"""What many tasks cost: `python -m benchmarks.scale --tasks 1840 --rows 200000 --out FOLDER`.

Each figure is of a command in a process of its own: loading the definitions, the whole way from files to mixtures, the
plan, and the way again after 1% of the rows of one task changed. What is no overhead of a task (reading, embedding,
ordering) is listed beside the whole, as the manifests have it.

The encoder is a real one of sentence-transformers that costs next to nothing a prompt, but some seconds to import. With
`--stub-encoder` random vectors by prompt stand in for it, so that orchestration and store are measured alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.synthetic import change_one_task, write_project
from smart_assets.planning.graph import desired_states
from smart_assets.settings import load_project

LOAD = "import smart_assets.definitions as d; d.defs.get_repository_def().load_all_definitions()"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_840)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--stub-encoder", action="store_true")
    parser.add_argument("--out", type=Path, help="Keep the project here.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = arguments.out or Path(scratch) / "many"
        config = write_project(folder, arguments.tasks, arguments.rows, arguments.dimensions)
        print(f"{arguments.tasks:,} tasks, {arguments.rows:,} rows, {arguments.dimensions} dimensions\n")
        print("| command | seconds | CPU seconds | peak GB |\n|---|---|---|---|")
        run = ("run", "--select", "selected_subset")
        _smart = _stubbed if arguments.stub_encoder else _command
        _measure("load the definitions", [sys.executable, "-c", LOAD], config)
        whole = _measure("smart run --select selected_subset", _smart(*run), config)
        _print_assets(config)
        _measure("smart plan, nothing to do", _smart("plan"), config)
        changed = change_one_task(folder)
        _measure(f"smart plan, {changed} rows of a task changed", _smart("plan"), config)
        _measure("smart run after it", _smart(*run), config)
        _print_assets(config)
        print(f"\n{1000 * whole / arguments.tasks:.0f} ms a task from files to mixtures, all work included")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from smart_assets.cli.main import run; run()", *arguments]


def _stubbed(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from benchmarks.stub_encoder import run; run()", *arguments]


def _measure(name: str, command: list[str], config: Path) -> float:
    environment = {**os.environ, "SMART_CONFIG": str(config), "DAGSTER_HOME": str(config.parent)}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{name} failed:\n{output[-4000:]}")
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9
    print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {peak:.1f} |", flush=True)
    return seconds


def _print_assets(config: Path) -> None:
    """Print the seconds and the peak memory of each asset's newest materialization."""
    project = load_project(config)
    for desired in desired_states(project):
        manifest = project.store.current(desired.key.asset, desired.key.partition)
        if manifest is not None:
            figures = {name: value for name, value in manifest.made.items() if isinstance(value, int)}
            peak = figures.pop("peak_memory_bytes") / 1e9
            told = ", ".join(f"{name} {value:,}" for name, value in figures.items())
            print(f"| - {desired.key} {told} | {manifest.made['seconds']:.1f} | | {peak:.1f} |", flush=True)


if __name__ == "__main__":
    main()
