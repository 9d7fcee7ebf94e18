"""Time and memory of greedy orderings, beside submodlib's: `python -m benchmarks.selection --help`."""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.cases import CASES, Failed, Measured, Outcome, Results, Row, read_results, write_results
from benchmarks.vectors import Vectors, read_or_make, write_variant

ROOT = Path(__file__).resolve().parent.parent
SIZES = "1000,2000,5000,10000,41000,100000"
SYNTHETIC = "clustered synthetic vectors"


def main(  # noqa: PLR0913, PLR0917  (one for each option)
    context: typer.Context,
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Embeddings (n, d) as .npy, such as a store's artifacts/prompt_embeddings/*/vectors.npy.",
            show_default=SYNTHETIC,
            exists=True,
        ),
    ] = None,
    sizes: Annotated[str, typer.Option(help="Numbers of vectors, with commas between.")] = SIZES,
    objectives: Annotated[str, typer.Option(help="With commas between.")] = ",".join(CASES),
    peer_up_to: Annotated[int, typer.Option(help="The largest size at which submodlib is run too.")] = 10_000,
    time_limit: Annotated[float, typer.Option(help="Seconds for one ordering with all that it loads.")] = 3600,
    out: Annotated[Path, typer.Option(help="The results; rows of earlier runs are kept, or replaced.")] = Path(
        "results.json"
    ),
    plot: Annotated[Path | None, typer.Option(help="Only draw the results, as this PNG.")] = None,
    table: Annotated[bool, typer.Option(help="Only print the results, as a Markdown table.")] = False,
) -> None:
    """Order the same vectors by every objective at every size, each time in a fresh process, ours and submodlib's."""
    if plot or table:
        for name in ("vectors", "sizes", "objectives", "peer_up_to", "time_limit"):
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter(f"--{name.replace('_', '-')} does nothing beside --plot and --table")
        show(_read(out), plot, table)
        return
    results = Results(machine(), str(vectors.resolve()) if vectors else SYNTHETIC, [])
    if out.exists():
        earlier = _read(out)
        if (earlier.machine, earlier.vectors) != (results.machine, results.vectors):
            raise typer.BadParameter(f"{out} holds results of another machine or of other vectors: name another file")
        results = earlier
    print(f"{results.machine}; {results.vectors}")
    measured = read_or_make(vectors)
    for size in _sizes(sizes):
        for case in _cases(objectives):
            row = measure(case, measured, size, time_limit, size <= peer_up_to)
            kept = [other for other in results.rows if (other.case, other.size) != (case, size)]
            results = Results(results.machine, results.vectors, [*kept, row])
            write_results(out, results)


def measure(case: str, vectors: Vectors, size: int, time_limit: float, with_submodlib: bool) -> Row:
    """Return one row of the results; says how it goes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        write_variant(path, vectors, size, CASES[case].nonnegative)
        ours = run_child(case, "ours", path, time_limit)
        print(f"{case} {size:,}: ours {_told(ours)}", flush=True)
        submodlib = run_child(case, "submodlib", path, time_limit) if with_submodlib else None
    row = Row.of(case, (size, vectors.shape[1]), ours, submodlib)
    if submodlib is not None:
        ratios = f", {row.time_ratio:.1f} times ours" if row.time_ratio else ""
        print(f"{case} {size:,}: submodlib {_told(submodlib)}{ratios}", flush=True)
    return row


def run_child(case: str, who: str, path: Path, time_limit: float) -> Outcome:
    """Return what one ordering took in a fresh process, or why it did not end well."""
    command = [sys.executable, "-m", "benchmarks.child", case, who, str(path)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=time_limit, check=False)
    except subprocess.TimeoutExpired:
        return Failed(f"took more than {time_limit:g} s")
    if done.returncode < 0:
        return Failed(f"ended by signal {-done.returncode}, most likely for want of memory")
    if done.returncode:
        return Failed((done.stderr.strip().splitlines() or ["no message"])[-1])
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def show(results: Results, plot: Path | None, table: bool) -> None:
    """Print and draw what was measured before."""
    from benchmarks.views import draw, markdown_table

    if table:
        print(markdown_table(results))
    if plot:
        plot.write_bytes(draw(results))


def machine() -> str:
    """Return the processor, its cores that may be used, the memory, and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cores = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, NumPy {version('numpy')}, numba {version('numba')}"
    return f"{cores} cores of {model}, {gigabytes:.0f} GB; {versions}"


def _told(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return f"failed: {outcome.failed}"
    return f"{outcome.seconds:.2f} s, {outcome.took_bytes / 1e6:,.0f} MB"


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"sizes are whole numbers with commas between; got {text!r}") from None
    if min(sizes) < 2:
        raise typer.BadParameter(f"a size must be at least 2, since submodlib leaves out the last; got {min(sizes)}")
    return sizes


def _cases(text: str) -> list[str]:
    cases = text.split(",")
    if unknown := sorted(set(cases) - set(CASES)):
        raise typer.BadParameter(f"objectives are {', '.join(CASES)}; got {', '.join(unknown)}")
    return cases


def _read(path: Path) -> Results:
    if not path.exists():
        raise typer.BadParameter(f"there are no results at {path}: measure first, or name them with --out")
    return read_results(path)


if __name__ == "__main__":
    typer.run(main)
