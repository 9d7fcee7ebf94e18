"""What changed between two states of a source, in rows and in words."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ["id", "task", "template", "prompt_hash"]

_MOST_LINES = 5
_NAME = 60  # characters of a task's name


@dataclass(frozen=True, slots=True)
class RowChanges:
    """The rows that came and went. A row whose template alone changed, which keeps its id, is in both."""

    added: pa.Table  # COLUMNS
    removed: pa.Table  # COLUMNS
    tasks_before: Mapping[str, int]  # rows of each task before the change


@dataclass(frozen=True, slots=True)
class _Counts:
    changed: int  # pairs of an added and a removed row of one task and prompt
    new: int
    removed: int

    @property
    def total(self) -> int:
        return self.changed + self.new + self.removed

    def __str__(self) -> str:
        parts = [(self.changed, "changed"), (self.new, "new"), (self.removed, "removed")]
        (first, verb), *others = [(count, verb) for count, verb in parts if count]
        head = f"{first:,} {verb} row{'s' * (first != 1)}"
        return ", ".join([head, *(f"{count:,} {verb}" for count, verb in others)])


def changes_between(before: pa.Table, after: pa.Table) -> RowChanges:
    """Return what tells two states of a source apart.

    Args:
        before: Rows with at least COLUMNS, ids unique.
        after: Likewise.
    """
    keys = [pc.binary_join_element_wise(rows["id"], rows["template"], "") for rows in (before, after)]
    came = pc.invert(pc.is_in(keys[1], value_set=keys[0]))
    went = pc.invert(pc.is_in(keys[0], value_set=keys[1]))
    return RowChanges(after.select(COLUMNS).filter(came), before.select(COLUMNS).filter(went), _sizes(before))


def no_changes(rows: pa.Table) -> RowChanges:
    """Return what tells a state of a source apart from itself."""
    none = rows.select(COLUMNS).slice(0, 0)
    return RowChanges(none, none, _sizes(rows))


def in_words(changes: RowChanges) -> tuple[str, ...]:
    """Return the changes as lines for people, a task each, the most changed first; none where nothing changed.

    A task that is gone is known by another name where a new one has exactly its prompts. An added and a removed row of
    one task and prompt are one changed row. After five lines the other tasks are only counted.
    """
    came, went = _prompts(changes.added), _prompts(changes.removed)
    counts = {task: _count(came.get(task, {}), went.get(task, {})) for task in sorted({*came, *went})}
    new = [task for task in counts if task not in changes.tasks_before]
    lost = [task for task in counts if counts[task].removed == changes.tasks_before.get(task) and task not in came]
    renamed = _renamed(lost, went, new, came)
    lines: dict[str, str] = {}
    for task, count in counts.items():
        if task in renamed:
            lines[task] = f"task {_name(task)} is now called {_name(renamed[task])} ({_rows(count.removed)})"
        elif task in lost:
            lines[task] = f"task {_name(task)} is gone ({_rows(count.removed)})"
        elif task in new and task not in renamed.values():
            lines[task] = f"task {_name(task)} is new ({_rows(count.new)})"
        elif task not in renamed.values():
            lines[task] = f"task {_name(task)} has {count}"
    order = sorted(lines, key=lambda task: -counts[task].total)  # stable: by name where equally many rows changed
    shown = [lines[task] for task in order[:_MOST_LINES]]
    if rest := order[_MOST_LINES:]:
        shown.append(f"and {len(rest):,} more task{'s' * (len(rest) > 1)} ({_sum(rest, counts, renamed)})")
    return tuple(shown)


def _sizes(rows: pa.Table) -> dict[str, int]:
    return {task["values"]: task["counts"] for task in pc.value_counts(rows["task"]).to_pylist()}


def _prompts(rows: pa.Table) -> dict[str, dict[str, int]]:
    """Return how many rows each task has of each prompt."""
    grouped = rows.group_by(["task", "prompt_hash"]).aggregate([([], "count_all")])
    counts_by_task: dict[str, dict[str, int]] = defaultdict(dict)
    columns = (grouped[name].to_pylist() for name in ("task", "prompt_hash", "count_all"))
    for task, prompt, count in zip(*columns, strict=True):
        counts_by_task[task][prompt] = count
    return dict(counts_by_task)


def _count(came: Mapping[str, int], went: Mapping[str, int]) -> _Counts:
    changed = sum(min(count, went.get(prompt, 0)) for prompt, count in came.items())
    return _Counts(changed, sum(came.values()) - changed, sum(went.values()) - changed)


def _renamed(
    lost: list[str], went: Mapping[str, Mapping[str, int]], new: list[str], came: Mapping[str, Mapping[str, int]]
) -> dict[str, str]:
    """Return the new name of each task that is gone and whose prompts are exactly those of a new task."""
    open_names: dict[frozenset[tuple[str, int]], list[str]] = defaultdict(list)
    for task in reversed(new):
        open_names[frozenset(came[task].items())].append(task)
    new_names: dict[str, str] = {}
    for task in lost:
        if names := open_names.get(frozenset(went[task].items())):
            new_names[task] = names.pop()
    return new_names


def _sum(tasks: list[str], counts: Mapping[str, _Counts], renamed: Mapping[str, str]) -> _Counts:
    every = [counts[name] for task in tasks for name in (task, renamed.get(task)) if name is not None]
    return _Counts(sum(c.changed for c in every), sum(c.new for c in every), sum(c.removed for c in every))


def _name(task: str) -> str:
    return f"`{task if len(task) <= _NAME else task[: _NAME - 3] + '...'}`"


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"
