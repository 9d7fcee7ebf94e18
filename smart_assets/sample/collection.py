"""The bundled sample as a whole: its registry of tasks, and the folder of JSON Lines files it is written to."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from smart_assets.core.errors import SourceError
from smart_assets.core.files import written
from smart_assets.sample import dates, facts, logic, numbers, words
from smart_assets.sample.task import SampleTask


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What `write_sample` wrote: the folder, and the rows of each task's file, duplicates included."""

    folder: Path
    rows: Mapping[str, int]

    @property
    def total(self) -> int:
        """Rows of all tasks together."""
        return sum(self.rows.values())


def tasks() -> Mapping[str, SampleTask]:
    """Return all tasks of the sample by name, in the order of the names."""
    every = (*numbers.TASKS, *words.TASKS, *dates.TASKS, *facts.TASKS, *logic.TASKS)
    return {task.name: task for task in sorted(every, key=lambda task: task.name)}


def write_sample(folder: Path, seed: int = 23) -> SampleSummary:
    """Write `<task>.jsonl` for every task into `folder`: the same bytes for the same seed on any machine.

    Each row is an object with `prompt`, `response` and `template`. Files of the same names are replaced, others stay.

    Raises:
        SourceError: the folder cannot be written, or `babel` is not installed.
    """
    drawn = {name: task.draw(seed) for name, task in tasks().items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, instances in drawn.items():
            lines = (json.dumps(asdict(instance), ensure_ascii=False, sort_keys=True) for instance in instances)
            with written(folder / f"{name}.jsonl") as draft:
                draft.write_bytes("".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise SourceError(
            f"the sample cannot be written to {folder}: {error}; choose a folder you can write"
        ) from error
    return SampleSummary(folder, {name: len(instances) for name, instances in drawn.items()})
