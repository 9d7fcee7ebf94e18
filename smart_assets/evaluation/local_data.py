"""lm-eval's own tasks on rows of a local folder: YAMLs that include the stock ones and change where the rows lie.

lm-eval loads a task's dataset as it makes the task, so its place has to be another before. A YAML of its own in a
scratch folder is the way that lm-eval documents; nothing of a task but its rows changes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from smart_assets.core.errors import EvaluationError

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks.manager import Entry

_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")


def index_of_local(name: str, folder: Path, index: "TaskManager", scratch: Path) -> "TaskManager":
    """Return an index that knows one lm-eval task, group or tag, with its rows in a local folder.

    The rows of a task lie in `<dataset_name>.jsonl`, or `<task>.jsonl`, for the split that is evaluated; other splits,
    where there are files of them, in the like of `<dataset_name>.dev.jsonl`.

    Args:
        name: the task, group or tag.
        folder: holds the JSONL files.
        index: knows `name` and all that it holds.
        scratch: an empty folder for the YAMLs, which must outlive the index.

    Raises:
        EvaluationError: the folder or a task's file is not there, or a task fetches its rows by Python of its own.
    """
    from lm_eval.tasks import TaskManager

    if not folder.is_dir():
        raise EvaluationError(
            f"evaluate.local_data {name!r}: there is no folder {folder}; name one that holds the rows"
        )
    entries = index.task_index
    for number, entry in enumerate(_entries(name, entries)):
        config = dict(entry.cfg or {})
        kept = {"include": str(entry.yaml_path)}
        changes = {"group": entry.name} if "group" in config else _on_local_rows(entry.name, config, folder)
        (scratch / f"{number:05d}.yaml").write_text(yaml.safe_dump({**kept, **changes}), encoding="utf-8")
    return TaskManager(include_path=str(scratch), include_defaults=False)


def _entries(name: str, entries: Mapping[str, "Entry"]) -> Iterator["Entry"]:
    """Yield the entries of a name and of all that it holds, each once; a tag has none of its own."""
    left, known = [name], set[str]()
    while left:
        current = left.pop()
        if current in known or current not in entries:
            continue
        known.add(current)
        entry = entries[current]
        config: Mapping[str, Any] = entry.cfg or {}
        if entry.yaml_path is None:  # a tag
            left += sorted(entry.tags)
            continue
        if "group" in config:
            members = config.get("task")
            left += [_name(member) for member in members] if isinstance(members, list) else []
        yield entry


def _name(member: Any) -> str:
    return str(member.get("task") or member.get("group")) if isinstance(member, Mapping) else str(member)


def _on_local_rows(task: str, config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what a task's YAML says otherwise."""
    if "class" in config or "custom_dataset" in config:
        raise EvaluationError(
            f"evaluate.local_data: the lm-eval task {task!r} fetches its rows by Python of its own; "
            "leave it out, or write a YAML for it under evaluate.include_path"
        )
    asked = config.get("test_split") or config.get("validation_split") or config.get("training_split") or "test"
    stems = [str(stem) for stem in (config.get("dataset_name"), task) if stem]
    stem = next((stem for stem in stems if (folder / f"{stem}.jsonl").is_file()), None)
    if stem is None:
        expected = " or ".join(f"{stem}.jsonl" for stem in stems)
        raise EvaluationError(f"evaluate.local_data: {folder} holds no {expected} for the lm-eval task {task!r}")
    files = {asked: str((folder / f"{stem}.jsonl").resolve())}
    for split in {config[key] for key in _SPLITS if config.get(key)} - {asked}:
        if (folder / f"{stem}.{split}.jsonl").is_file():
            files[split] = str((folder / f"{stem}.{split}.jsonl").resolve())
    lost = {key: None for key in _SPLITS if config.get(key) and config[key] not in files}
    place = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    return {"task": task, **place, **lost, **({} if config.get("test_split") else {"test_split": asked})}
