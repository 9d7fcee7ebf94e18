"""Which files of a source are read, and the task that the name of each gives.

Names say more than a task: shards (`boolq-00000-of-00005`) and parts (`part-00000`) are pieces of one task, `train`,
`validation` and `test` are splits of one, `key=value` folders give columns (Hive partitions), and beside `state.json`
lie the pieces of one dataset that `save_to_disk` of the `datasets` library wrote.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

from smart_assets.core.errors import SourceError
from smart_assets.tasks.file_names import DESCRIBES, FileName, is_description, parse_name, why_not_read
from smart_assets.tasks.source_kind import NotRead

TRAIN = "train"
SPLITS: Mapping[str, tuple[str, ...]] = {
    TRAIN: ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}
"""The splits by the names that files and folders give them."""
_SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names}
_GUARDED = ("test", "validation")  # where a path names two splits, the one that must not be trained on counts

_WORDS = "|".join(_SPLIT_OF)
_AT_END = re.compile(rf"(?P<rest>.+)[-_.](?P<split>{_WORDS})", re.IGNORECASE)
_AT_START = re.compile(rf"(?P<split>{_WORDS})[-_.](?P<rest>.+)", re.IGNORECASE)
_WORD_AT_END = re.compile(rf"(?P<rest>.*[a-z0-9])(?P<split>{'|'.join(word.title() for word in _SPLIT_OF)})")
_ALONE = re.compile(rf"(?P<split>{_WORDS})(?:[-_. ]?(?:set|split|data))?", re.IGNORECASE)
_NUMBERED = re.compile(rf"(?P<split>{_WORDS})[-_. ]?\d+", re.IGNORECASE)
_SHARD = re.compile(r"(?P<base>.+?)[-_.](?P<index>\d+)[-_]of[-_](?P<count>\d+)(?:[-_.][0-9a-f]{6,64})?", re.IGNORECASE)
# Spark: part-00000-UUID-c000.snappy; Hadoop: part-r-00000.
_PART = re.compile(
    r"part[-_.]?(?:[mr]-)?\d+(?:-[0-9a-f]{8}-[0-9a-f-]{27})?(?:[-.]c\d+)?(?:\.[a-z0-9]+)?", re.IGNORECASE
)
_NUMBER = re.compile(r"\d+(?:_\d+)?")
_PARTITION = re.compile(r"(?P<key>[A-Za-z_][^=/]*)=(?P<value>.*)", re.DOTALL)
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_PASSING = {
    "_temporary": "what a job that was cut off has left",
    "_delta_log": "the log of a Delta table, which is not followed: rows deleted from it are read. Export the table",
    "__MACOSX": "what macOS adds to archives",
    "__pycache__": "compiled programs",
}
"""Folders whose files are no rows, by name."""
_CACHE = "a cache of the `datasets` library"
_CHOSEN = "its rows are chosen by indices.arrow: load the dataset and save it again"


@dataclass(frozen=True, slots=True)
class NameRule:
    """How names are taken."""

    own_name: str  # of the source's folder
    split: str = TRAIN  # that is read
    by_name: bool = True  # whether names like `test` tell splits
    task_column: str | None = None  # the settings' column of tasks


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file whose rows are read."""

    name: str
    parsed: FileName
    task: str  # of rows that name none
    group: str  # files of one group give one task; those of two may not
    columns: Mapping[str, str]  # of rows that have none of these keys
    shard: "_Shard | None"
    split: str | None


@dataclass(frozen=True, slots=True)
class FileSelection:
    """What is read of a folder, and what is not."""

    files: tuple[TaskFile, ...]  # in the order of the names
    not_read: tuple[NotRead, ...]  # and what is missing of a set of shards

    @property
    def names(self) -> dict[str, str]:
        """What names say beyond a task by the stem of each file, by file: rows depend on it as on the files' bytes."""
        return {
            file.name: f"{file.task} {dict(sorted(file.columns.items()))}"
            for file in self.files
            if file.columns or file.task != file.parsed.stem
        }


@dataclass(frozen=True, slots=True)
class _Shard:
    base: str
    index: int
    count: int
    digits: int


@dataclass(frozen=True, slots=True)
class _Place:
    """What the folders say that a file lies in."""

    task: str  # the folder that names the task of files which have no name of their own
    group: str  # the path without partitions
    columns: Mapping[str, str]
    split: str | None


_Siblings = Mapping[tuple[tuple[str, ...], str], set[str]]  # splits by folder and the rest of the name; "": no split


def select(names: Sequence[str], rule: NameRule) -> FileSelection:
    """Return which files are read, by their names.

    Raises:
        SourceError: Two files are the same shard.
    """
    parsed = {name: parse_name(name) for name in names}
    saved = {file.folders for name, file in parsed.items() if name.rpartition("/")[2] == "state.json"}
    saved &= {file.folders for file in parsed.values() if file.format == ".arrow"}
    chosen = {file.folders for file in parsed.values() if file.format == ".arrow" and file.stem == "indices"}
    siblings = _siblings([file for file in parsed.values() if file.format])
    files: list[TaskFile] = []
    not_read: list[NotRead] = []
    for name, file in parsed.items():
        in_saved = file.folders in saved
        reason = _why_not(name, file, in_saved, file.folders in chosen)
        if reason is None:
            task_file = _task_file(name, file, rule, siblings, in_saved)
            reason = _why_not_split(task_file.split, rule)
            if reason is None:
                files.append(task_file)
        if reason is not None:
            not_read.append(NotRead(name, reason))
    return FileSelection(tuple(files), (*not_read, *_missing_shards(files)))


def _why_not(name: str, file: FileName, in_saved: bool, chosen: bool) -> str | None:
    """Return why a file is not read, but for its split."""
    if passing := next((_PASSING[folder] for folder in file.folders if folder in _PASSING), None):
        return passing
    if is_description(name) or (in_saved and name.endswith("state.json")):
        return DESCRIBES
    if file.format is None:
        return why_not_read(name)
    if in_saved and not (file.format == ".arrow" and (_SHARD.fullmatch(file.stem) or file.stem == "dataset")):
        return _CACHE
    return _CHOSEN if in_saved and chosen else None


def _why_not_split(split: str | None, rule: NameRule) -> str | None:
    if (split or TRAIN) == rule.split:
        return None
    if rule.split == TRAIN:
        return f"{split} split: never trained on; `evaluate.collections` may name it (`split: {split}`)"
    return f"{split or 'no'} split: the settings name the split {rule.split}"


def _task_file(name: str, file: FileName, rule: NameRule, siblings: _Siblings, in_saved: bool) -> TaskFile:
    place = _place(file.folders, rule, siblings)
    base, shard = _base(file.stem)
    split, rest = _split_of(base, file.folders, siblings) if rule.by_name and not in_saved else (None, base)
    is_part = bool(_PART.fullmatch(base) or (_NUMBER.fullmatch(base) and (place.split or place.columns)))
    columns = dict(place.columns)
    partition = columns.pop("task", None) if rule.task_column is None else None
    if partition is not None:
        task, group = partition, f"task={partition}"
    else:
        task = place.task if in_saved or is_part or rest is None else rest
        ending = f"{file.format}{file.compression or ''}"
        numbered = split if rest is None and split and base.lower() not in _SPLIT_OF else None
        piece = f"{base}-of-{shard.count}" if shard else "part" if is_part else numbered or base + ending
        group = f"{place.group}/{piece}"
    return TaskFile(name, file, task, group, columns, shard, _guarded(split, place.split))


def _place(folders: tuple[str, ...], rule: NameRule, siblings: _Siblings) -> _Place:
    plain: list[str] = []
    path: list[str] = []
    columns: dict[str, str] = {}
    split: str | None = None
    for depth, folder in enumerate(folders):
        partition = _PARTITION.fullmatch(folder)
        value = unquote(partition["value"]) if partition else ""
        if partition is None:
            named, rest = _split_of(folder, folders[:depth], siblings) if rule.by_name else (None, folder)
            split = _guarded(split, named)
            path.append(folder)
            plain += [rest] if rest else []
        elif rule.by_name and partition["key"] == "split" and value.lower() in _SPLIT_OF:
            split = _guarded(split, _SPLIT_OF[value.lower()])
        elif value != _NO_VALUE:
            columns[unquote(partition["key"])] = value
    # `data` is where the hub's datasets keep their files, and names none of them.
    task = next((folder for folder in reversed(plain) if folder != "data"), rule.own_name)
    return _Place(task, "/".join(path), columns, split)


def _base(stem: str) -> tuple[str, _Shard | None]:
    """Return a stem without the number of its shard."""
    shard = _SHARD.fullmatch(stem)
    if shard is None:
        return stem, None
    return shard["base"], _Shard(shard["base"], int(shard["index"]), int(shard["count"]), len(shard["index"]))


def _siblings(files: Sequence[FileName]) -> _Siblings:
    """Return which splits there are in each folder of each name, of files and of folders."""
    names = {(file.folders, _base(file.stem)[0]) for file in files}
    names |= {(file.folders[:depth], folder) for file in files for depth, folder in enumerate(file.folders)}
    siblings: dict[tuple[tuple[str, ...], str], set[str]] = defaultdict(set)
    for folders, name in names:
        siblings[folders, name.lower()].add("")
        for split, rest in _possible_splits(name):
            siblings[folders, rest.lower()].add(split)
    return siblings


def _possible_splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield which split a name may tell, and the rest of the name; a number is none."""
    if named := _ALONE.fullmatch(name) or _NUMBERED.fullmatch(name):
        yield _SPLIT_OF[named["split"].lower()], ""
        return
    for pattern in (_AT_END, _AT_START, _WORD_AT_END):
        if named := pattern.fullmatch(name):
            yield _SPLIT_OF[named["split"].lower()], "" if named["rest"].isdecimal() else named["rest"]


def _split_of(name: str, folders: tuple[str, ...], siblings: _Siblings) -> tuple[str | None, str | None]:
    """Return the split that a name in a folder tells, and what is left of the name; None where nothing is.

    `boolq_test` is the test split of `boolq` only beside another split of it, or beside what is called `boolq`:
    otherwise it may as well be a task of that name, as `driving_test` is.
    """
    if named := _ALONE.fullmatch(name):
        return _SPLIT_OF[named["split"].lower()], None
    for split, rest in _possible_splits(name):
        if len(siblings.get((folders, rest.lower()), ())) > 1:
            return split, rest or None
    return None, name


def _guarded(*splits: str | None) -> str | None:
    return next((split for split in (*_GUARDED, TRAIN) if split in splits), None)


def _missing_shards(files: Sequence[TaskFile]) -> Iterator[NotRead]:
    """Yield each set of shards that is not whole, with those that are missing.

    Raises:
        SourceError: Two files are the same shard.
    """
    sets: dict[tuple[tuple[str, ...], str, int], dict[int, str]] = defaultdict(dict)
    digits: dict[tuple[tuple[str, ...], str, int], int] = {}
    for file in files:
        if file.shard is not None:
            key = file.parsed.folders, file.shard.base, file.shard.count
            other = sets[key].setdefault(file.shard.index, file.name)
            digits[key] = file.shard.digits
            if other != file.name:
                raise SourceError(f"the files {other} and {file.name} are the same shard. Remove one of them.")
    for (folders, base, count), shards in sets.items():
        first = 1 if count in shards and 0 not in shards else 0
        missing = (index for index in range(first, first + count) if index not in shards)
        lost = count - sum(first <= index < first + count for index in shards)
        if lost:
            width = digits[folders, base, count]
            numbers = ", ".join(f"{index:0{width}d}" for index in islice(missing, 10))
            more = f" and {lost - 10:,} more" if lost > 10 else ""
            name = f"{'/'.join([*folders, base])}-*-of-{count:0{width}d}"
            yield NotRead(name, f"{lost:,} of {count:,} shards are missing: {numbers}{more}")
