"""The program that does a share of the work: jobs come as lines of JSON, each is answered by one.

A job reads a piece of a file, or sketches prompts. What it makes lies in files that the job names.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from smart_assets.tasks.file_rows import FileRows
from smart_assets.tasks.judge import JUDGED, REFUSED, JudgeRules, RowJudge
from smart_assets.tasks.licences import LicenceGate
from smart_assets.tasks.near_duplicates import Sketcher
from smart_assets.tasks.row_shape import FieldNames
from smart_assets.tasks.source_kind import Columns
from smart_assets.tasks.texts import TEXTS

KINDS = {"judged": JUDGED, "texts": TEXTS, "refused": REFUSED}
"""The tables that reading a piece leaves, by the ending of their files."""


def rules_as_json(
    columns: Columns, task_prefix: str, forgotten_texts: frozenset[str], licences: LicenceGate | None
) -> str:
    """Return what decides how rows become instances, for `_rules`."""
    gate = licences and [licences.column, sorted(licences.allowed), licences.own]
    return json.dumps([columns.model_dump(mode="json"), task_prefix, sorted(forgotten_texts), gate])


@functools.lru_cache(maxsize=1)
def _known_rules(path: str) -> tuple[Columns, str, frozenset[str], LicenceGate | None]:
    columns, task_prefix, forgotten, gate = json.loads(Path(path).read_text(encoding="utf-8"))
    licences = gate and LicenceGate(gate[0], frozenset(gate[1]), gate[2])
    return Columns(**columns), task_prefix, frozenset(forgotten), licences


def _rules(path: str) -> JudgeRules:
    """Return the rules for one piece: what its names were seen to be is of no other one."""
    columns, task_prefix, forgotten, licences = _known_rules(path)
    return JudgeRules(FieldNames(columns, licences), task_prefix, forgotten, licences)


def _read(job: dict[str, Any]) -> dict[str, Any]:
    rules = _rules(job["rules"])
    judge = RowJudge(rules, job["default_task"])
    writers: dict[str, Any] = {}
    rows = FileRows.from_json(job["rows"])
    for chunk in judge.chunks(rows(rules.names), is_piece=rows.piece is not None):
        for kind, schema in KINDS.items():
            table: pa.Table = getattr(chunk, kind)
            if table.num_rows:
                if kind not in writers:
                    writers[kind] = pa.ipc.new_file(f"{job['out']}.{kind}", schema)
                writers[kind].write_table(table)
    for writer in writers.values():
        writer.close()
    return {"tables": list(writers), "verdict": judge.verdict.as_json()}


@functools.lru_cache(maxsize=1)
def _sketcher() -> Sketcher:
    return Sketcher()


def _sketch(job: dict[str, Any]) -> dict[str, Any]:
    with pa.memory_map(job["prompts"]) as file:
        prompts = pa.ipc.open_file(file).read_all()["prompt"].to_pylist()
    np.save(job["out"], _sketcher().signatures(prompts), allow_pickle=False)
    return {}


_WORK: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"read": _read, "sketch": _sketch}


def main() -> None:
    """Answer jobs until there are no more."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts the program ends it by the program
    pa.set_cpu_count(1)  # the cores are shared by processes
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = _WORK[job["work"]](job)
        except Exception:  # noqa: BLE001  (told by the process that asked)
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)  # nothing is left to be done, and tearing Arrow down takes its time
