"""Reads the files of a source in pieces, in several processes. The rows are those of one process, in the same order."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from smart_assets.tasks.file_rows import FileRows
from smart_assets.tasks.judge import Chunk, FileVerdict
from smart_assets.tasks.work_pool import Answer, Job, WorkPool
from smart_assets.tasks.worker import KINDS

WORTH_BYTES = 16_000_000  # of files; less is read before processes have started


@dataclass(frozen=True, slots=True)
class FileToRead:
    """A file, and the task of its rows that name none."""

    rows: FileRows
    default_task: str | None


@dataclass(frozen=True, slots=True)
class ReadPiece:
    """The rows of a piece of a file, judged."""

    place: int  # of the file among those that are read
    chunk: Chunk
    verdict: FileVerdict  # of this piece


def read_shared(files: Sequence[FileToRead], rules: str, pool: WorkPool, scratch: Path) -> Iterator[ReadPiece]:
    """Yield the pieces of all files in their order, one at least of each.

    Args:
        files: That are read.
        rules: As `worker.rules_as_json` gives them.
        pool: Its processes are not needed for anything else until all is read.
        scratch: A folder for what they make; each file of it is gone when its piece is taken.

    Raises:
        SourceError: A process ended.
    """
    path = scratch / "rules.json"
    path.write_text(rules, encoding="utf-8")
    given: list[tuple[int, FileRows, Path]] = []

    def jobs() -> Iterator[Job]:
        for place, file in enumerate(files):
            for rows in file.rows.pieces():
                out = scratch / f"piece-{len(given)}"
                given.append((place, rows, out))
                job: Job = {"work": "read", "rows": rows.as_json(), "default_task": file.default_task}
                yield {**job, "rules": str(path), "out": str(out)}

    cut = -1  # the file of which the rest is refused: one process would read no further
    for number, answer in enumerate(pool.answers(jobs())):
        place, rows, out = given[number]
        tables = _tables(out, answer)
        if place == cut:
            continue
        verdict = FileVerdict.from_json(answer["verdict"])
        cut = place if verdict.is_cut else cut
        done = rows.piece.share if rows.piece else 1.0
        yield ReadPiece(place, Chunk(**tables, done=done), verdict)


def _tables(out: Path, answer: Answer) -> dict[str, pa.Table]:
    """Return what a piece left. Its files are gone when these tables are: texts are mapped, the others loaded."""
    tables = {kind: schema.empty_table() for kind, schema in KINDS.items()}
    for kind in answer["tables"]:
        path = out.with_name(f"{out.name}.{kind}")
        file = pa.memory_map(str(path)) if kind == "texts" else pa.OSFile(str(path))
        tables[kind] = pa.ipc.open_file(file).read_all()
        path.unlink()
    return tables
