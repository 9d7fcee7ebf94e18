"""Sources are read again file by file, and what comes out is to the byte what reading everything gives."""

import errno
import json
import os
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.errors import SourceError
from smart_assets.lineage.graph import wanted, wanted_state, what_is_present
from smart_assets.lineage.materialize import Outcome, materialize
from smart_assets.lineage.plan import PlanStep, make_plan
from smart_assets.pipeline import parquet, raw_tasks
from smart_assets.pipeline.raw_tasks import preview
from smart_assets.pipeline.rows import read_split, read_training_rows, rows_in_order
from smart_assets.pipeline.step import AssetPartition, Inputs, RunContext
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks import collector, files, intake, signatures, texts
from smart_assets.tasks.changes import COLUMNS, RowChanges, changes_between, in_words
from smart_assets.tasks.files import folder_state, list_folder
from smart_assets.tasks.intake import last_change, source_state
from smart_assets.tasks.near_duplicates import Sketcher
from smart_assets.tasks.sources import FolderSource, HuggingFaceSource
from smart_assets_tests.projects import rows, write_project, write_tasks

SMALL = AssetPartition("raw_tasks", "small")

# Few texts and tasks, so that rows are often equal, inside a file and between files.
PROMPTS = ["one two three four", "One two three four!", "five six seven", "eight"]
NAMES = ["a.jsonl", "b.jsonl", "c.json", "d.csv", "sub/e.jsonl", "sub/f.jsonl"]


def random_row(rng: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt": rng.choice(PROMPTS), "response": rng.choice(["yes", "yes", "no", ""])}
    row |= rng.choice([{}, {"task_name": "x"}, {"task_name": "x", "template": "t"}, {"task_name": "y"}])
    if rng.random() < 0.2:
        roles = ("system", rng.choice(["be brief", "be kind"])), ("user", "eight"), ("assistant", "yes")
        return {"task_name": "x", "messages": [{"role": role, "content": content} for role, content in roles]}
    return row


def random_content(rng: random.Random, name: str) -> str:
    """A file of a few rows, some bad; now and then the file is broken as a whole."""
    found = [random_row(rng) for _ in range(rng.randint(0, 7))]
    if name.endswith(".json"):
        return rng.choice([json.dumps(found), json.dumps(found), "[{"])
    if name.endswith(".csv"):
        named = [",".join(str(row.get(key, "")) for key in ("prompt", "response", "task_name")) for row in found]
        return "\n".join([rng.choice(["prompt,response,task_name"] * 3 + ["nothing"]), *named])
    return "\n".join(rng.choice([json.dumps(row)] * 8 + ["no json", "[]", ""]) for row in found)


def random_edits(rng: random.Random) -> Iterator[dict[str, str | None]]:
    """All files, and then changes of one or two: rows, rows of another file, a new file, none at all."""
    now = {name: random_content(rng, name) for name in NAMES}
    yield dict(now)
    for _ in range(rng.randint(1, 3)):
        names = rng.sample([*NAMES, "sub/a.jsonl" if rng.random() < 0.3 else "g.jsonl"], rng.randint(1, 2))
        changes: dict[str, str | None] = {}
        for name in names:
            other = rng.choice([found for found in NAMES if Path(found).suffix == Path(name).suffix])
            changes[name] = rng.choice([random_content(rng, name), random_content(rng, name), now.get(other), None])
        yield changes


def make(project: Project, log: list[str] | None = None) -> Outcome:
    def launch(_: object) -> None:
        raise AssertionError("nothing here starts a program")

    lines = [] if log is None else log
    return materialize(project, SMALL, RunContext(log=lines.append, launch=launch, device="cpu"))


def current(project: Project) -> Manifest:
    manifest = project.store.current("raw_tasks", "small")
    assert manifest is not None
    return manifest


def small_project(folder: Path, tasks: Path | None = None, **changes: Any) -> Project:
    """A project over a folder of tasks, its own or another one's."""
    made = write_project(
        folder,
        {"unused": []},
        {"sources": {"small": {"kind": "folder", "path": str(tasks or folder / "in")}}, **changes},
    )
    (tasks or folder / "in").mkdir(exist_ok=True)
    return made


def edit(folder: Path, changes: Mapping[str, str | None]) -> None:
    for name, content in changes.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_text(content)


def versions(manifest: Manifest) -> tuple[str, str, Mapping[str, str], Mapping[str, Any]]:
    """Hashes of all that was written, and what is said of it."""
    return manifest.content_version, manifest.attachments["origins"].version, manifest.facets, manifest.summary


def content_of(project: Project) -> pa.Table:
    return pq.read_table(project.store.artifact(current(project)) / "instances.parquet", columns=COLUMNS)


def listed(changes: RowChanges) -> tuple[list[Any], list[Any], Mapping[str, int]]:
    added, removed = (sorted(table.to_pylist(), key=repr) for table in (changes.added, changes.removed))
    return added, removed, changes.tasks_before


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1 << 30), by_column=st.booleans())
def test_reading_what_changed_gives_what_reading_everything_gives(
    seed: int, by_column: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("edits")
    columns = {"columns": {"task": "task_name"}} if by_column else {}
    sources = {"sources": {"small": {"kind": "folder", "path": str(folder / "in"), **columns}}}
    project = small_project(folder, **sources)
    edit(folder / "in", {"sub/z.csv": "prompt,response,task_name\nsix,yes,x\nsix,yes,x\nsix\n"})
    before = None
    for step, changes in enumerate(random_edits(random.Random(seed))):
        edit(folder / "in", changes)
        fresh = small_project(folder / f"fresh{step}", folder / "in", **sources)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(collector, "_CHUNK_ROWS", 1 + seed % 4)
            patch.setattr(texts, "RUN_BYTES", 1 + seed % 100)
            opened = record_opened(patch)
            expected, refusal = made_or_refused(fresh)
            if expected is None:
                assert made_or_refused(project) == (None, refusal)
                if before is not None:
                    with pytest.raises(SourceError, match=re.escape(refusal)):
                        preview(project, "small", before)
                continue
            foreseen, table = (preview(project, "small", before), content_of(project)) if before else (None, None)
            opened.clear()
            outcome = make(project)
        assert versions(outcome.manifest) == versions(expected)
        if before is not None:
            known = before.outside
            changed = {name for name, sha256 in expected.outside.items() if known.get(name) != sha256}
            assert outcome.unchanged or opened == Counter(changed)
            assert foreseen is not None
            assert table is not None
            assert listed(foreseen) == listed(changes_between(table, content_of(project)))
        before = outcome.manifest
    shutil.rmtree(folder)


def made_or_refused(project: Project) -> tuple[Manifest | None, str]:
    try:
        return make(project).manifest, ""
    except SourceError as error:
        return None, str(error)


def record_opened(patch: pytest.MonkeyPatch) -> Counter[str]:
    opened: Counter[str] = Counter()
    read_file = intake.read_file

    def recorded(path: Path, names: Any, limit: int) -> Iterator[Any]:
        opened[str(path).partition("/in/")[2]] += 1
        return read_file(path, names, limit)

    patch.setattr(intake, "read_file", recorded)
    return opened


def test_a_duplicate_comes_back_with_its_own_template_without_its_file_being_read(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    row = {"prompt": "p", "response": "r", "task_name": "x"}
    edit(tmp_path / "in", {"a.jsonl": json.dumps({**row, "template": "first"}), "b.jsonl": json.dumps(row)})
    make(project)
    assert content_of(project)["template"].to_pylist() == ["first"]
    edit(tmp_path / "in", {"a.jsonl": json.dumps({**row, "prompt": "q"})})
    made = make(project).manifest.made
    assert sorted(content_of(project)["template"].to_pylist()) == ["", ""]
    assert {name: made[name] for name in ("files read", "files reused", "rows read")} == {
        "files read": 1,
        "files reused": 1,
        "rows read": 1,
    }


def test_a_file_that_changes_while_it_is_read_and_back_is_read_again(tmp_path: Path) -> None:
    project, path = small_project(tmp_path), tmp_path / "in" / "a.jsonl"
    contents = [json.dumps({"prompt": prompt, "response": "r"}) for prompt in "pq"]
    path.write_text(contents[0])
    read_file = intake.read_file

    def read_other(found: Path, names: Any, limit: int) -> Iterator[Any]:
        found.write_text(contents[1])
        yield from list(read_file(found, names, limit))
        found.write_text(contents[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "read_file", read_other)
        make(project)
    edit(tmp_path / "in", {"b.jsonl": contents[1]})
    assert make(project).manifest.made["files read"] == 2
    assert content_of(project).equals(fresh_content(tmp_path))


def planned(project: Project) -> PlanStep:
    return make_plan(wanted_state(project), what_is_present(project), frozenset([SMALL]))[0]


def test_the_manifest_tells_what_was_read_not_what_was_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small_project(tmp_path)
    before, after = (json.dumps({"prompt": prompt, "response": "r"}) for prompt in "pq")
    edit(tmp_path / "in", {"a.jsonl": before})
    collect = raw_tasks.collect

    def changed_first(*args: Any) -> Any:
        edit(tmp_path / "in", {"a.jsonl": after})
        return collect(*args)

    monkeypatch.setattr(raw_tasks, "collect", changed_first)
    assert make(project).manifest.outside == wanted(project, SMALL).outside
    assert planned(project).status == "current"
    edit(tmp_path / "in", {"a.jsonl": before})
    assert planned(project).status == "stale"


def test_a_file_that_changes_while_it_is_read_leaves_the_source_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, read_file = small_project(tmp_path), intake.read_file
    edit(tmp_path / "in", {"a.jsonl": json.dumps({"prompt": "p", "response": "r"})})

    def read_and_grow(found: Path, names: Any, limit: int) -> Iterator[Any]:
        yield from list(read_file(found, names, limit))
        found.write_text(found.read_text() + "\n")

    with monkeypatch.context() as patch:
        patch.setattr(intake, "read_file", read_and_grow)
        assert make(project).manifest.outside == {"a.jsonl": ""}
    assert planned(project).status == "stale"
    make(project)
    assert planned(project).status == "current"


def test_a_file_that_cannot_be_read_any_more_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, hash_ = small_project(tmp_path), files._hash
    row = json.dumps({"prompt": "p", "response": "r"})
    edit(tmp_path / "in", {"a.jsonl": row, "b.jsonl": row.replace("p", "q")})
    manifest = make(project).manifest
    monkeypatch.setattr(files, "_hash", lambda file: "" if file.name == "b.jsonl" else hash_(file))
    message = "b.jsonl cannot be read, and could be when it was read last. Grant access"
    step = planned(project)
    assert step.status == "blocked"
    assert message in step.reasons[0]
    with pytest.raises(SourceError, match=message):
        preview(project, "small", manifest)
    never = small_project(tmp_path / "never", tmp_path / "in")
    assert make(never).manifest.summary["rows"] == 1
    assert planned(never).status == "current"


def test_a_plan_says_that_reading_will_fail(tmp_path: Path) -> None:
    project, row = small_project(tmp_path), json.dumps({"prompt": "p", "response": "r"})
    edit(tmp_path / "in", {"a.jsonl": row})
    make(project)
    edit(tmp_path / "in", {"sub/a.jsonl": row})
    new, failure = planned(project).reasons
    assert new == "1 file new: sub/a.jsonl"
    assert failure.startswith("source `small`: reading it will fail: ")
    assert "the files a.jsonl and sub/a.jsonl both give the task 'a'" in failure


def test_projects_that_share_a_store_remember_their_own_hashes(
    tmp_path: Path, settled: None, hashes: list[str]
) -> None:
    projects = [small_project(tmp_path / name, store=str(tmp_path / "store")) for name in ("one", "other")]
    for name, project in zip("ab", projects, strict=True):
        edit(project.root / "in", {f"{name}.jsonl": json.dumps({"prompt": name, "response": "r"})})
    for project in projects * 2:
        wanted(project, SMALL)
    assert hashes == ["a.jsonl", "b.jsonl"]


def fresh_content(folder: Path) -> pa.Table:
    project = small_project(folder / "fresh", folder / "in")
    make(project)
    return content_of(project)


def test_two_files_of_one_task_are_refused_though_one_is_not_read(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    edit(tmp_path / "in", {"a.jsonl": json.dumps({"prompt": "p", "response": "r"})})
    make(project)
    edit(tmp_path / "in", {"sub/a.jsonl": json.dumps({"prompt": "q", "response": "r"})})
    with pytest.raises(SourceError, match=r"a.jsonl and sub/a.jsonl both give the task 'a'"):
        make(project)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("run_bytes", [1, 500, 10**9])
def test_bytes_depend_on_neither_chunks_nor_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, run_bytes: int
) -> None:
    monkeypatch.setattr(raw_tasks, "ROW_GROUP", 5)
    monkeypatch.setattr(parquet, "ROW_GROUP", 5)
    monkeypatch.setattr(collector, "_CHUNK_ROWS", chunk)
    monkeypatch.setattr(texts, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(collector, "_CHUNK_CHARACTERS", run_bytes)
    monkeypatch.setattr(signatures, "_BATCH_BYTES", run_bytes)
    project = write_project(tmp_path)
    manifest = make(project).manifest
    path = project.store.artifact(manifest) / "instances.parquet"
    parquet.write_table(pq.read_table(path).cast(pa.schema([*pq.read_schema(path)])), tmp_path / "at-once.parquet")
    assert path.read_bytes() == (tmp_path / "at-once.parquet").read_bytes()
    assert pq.ParquetFile(path).num_row_groups == 16


def test_long_rows_are_held_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    monkeypatch.setattr(collector, "_CHUNK_CHARACTERS", 300)
    monkeypatch.setattr(signatures, "_BATCH_BYTES", 300)
    add, sketch = texts.Texts.add, Sketcher.signatures

    def recorded_add(self: texts.Texts, ids: Any, added: pa.Table) -> None:
        held.append(added.num_rows)
        add(self, ids, added)

    def recorded_sketch(self: Sketcher, prompts: Any) -> Any:
        held.append(len(prompts))
        return sketch(self, prompts)

    monkeypatch.setattr(texts.Texts, "add", recorded_add)
    monkeypatch.setattr(Sketcher, "signatures", recorded_sketch)
    tasks = {"alpha": [{"prompt": f"{n:0100}", "response": "r"} for n in range(30)]}
    make(write_project(tmp_path, {**tasks, "beta": [], "gamma": []}))
    assert sum(held) == 60
    assert max(held) <= 4


def test_the_content_is_what_it_always_was(tmp_path: Path) -> None:
    assert make(write_project(tmp_path)).manifest.content_version == CONTENT_VERSION


CONTENT_VERSION = "700b1e71b85791df504f832137b527ca"


def older_rejected(folder: Path) -> None:
    table = pq.read_table(folder / "rejected.parquet")
    pq.write_table(table.drop_columns(["id", "template"]), folder / "rejected.parquet")


def flip(name: str, at: int) -> Any:
    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[at] ^= 1
        (folder / name).write_bytes(content)

    return damage


@pytest.mark.parametrize(
    ("attachment", "damage"),
    [
        pytest.param(False, flip("instances.parquet", 200), id="instances"),
        pytest.param(False, flip("signatures.npy", -1), id="signatures"),
        pytest.param(True, flip("origins.parquet", 10), id="origins"),
        pytest.param(True, flip("files.json", 0), id="files"),
        pytest.param(True, older_rejected, id="rejected of an older version"),
    ],
)
def test_what_is_damaged_is_not_used_and_said(tmp_path: Path, attachment: bool, damage: Any) -> None:
    project = write_project(tmp_path)
    manifest = make(project).manifest
    write_tasks(tmp_path / "tasks", {"alpha": rows(1, 39)})
    expected = make(
        write_project(tmp_path / "fresh", {"alpha": rows(1, 39), "beta": rows(2, 25), "gamma": rows(3, 12)})
    )
    artifact = manifest.attachments["origins"] if attachment else manifest.artifact
    damage(project.store.folder(artifact))
    log: list[str] = []
    outcome = make(project, log)
    assert outcome.manifest.content_version == expected.manifest.content_version
    assert outcome.manifest.made["files reused"] == 0
    assert any("everything is read again" in line for line in log)


@pytest.mark.parametrize(
    ("changes", "reused"),
    [
        pytest.param({"validation": {"fraction": 0.3}}, 2, id="the split's rule"),
        pytest.param(
            {"sources": {"small": {"kind": "folder", "path": "tasks", "license": "MIT"}}}, 2, id="the licence"
        ),
        pytest.param(
            {"sources": {"small": {"kind": "folder", "path": "tasks", "task_prefix": "x/"}}}, 0, id="the prefix"
        ),
    ],
)
def test_rows_are_taken_over_only_where_they_are_read_alike(
    tmp_path: Path, changes: dict[str, Any], reused: int
) -> None:
    manifest = make(write_project(tmp_path)).manifest
    changed = write_project(tmp_path, {"alpha": rows(1, 39, templates=2)}, changes)
    foreseen = preview(changed, "small", manifest)
    assert make(changed).manifest.made["files reused"] == reused
    assert (foreseen is not None) == bool(reused)
    if foreseen:
        assert (foreseen.added.num_rows, foreseen.removed.num_rows) == (0, 1)


def test_known_prompts_are_not_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(write_project(tmp_path))
    sketched: list[str] = []
    shingles = Sketcher.signatures
    monkeypatch.setattr(
        "smart_assets.tasks.near_duplicates.Sketcher.signatures",
        lambda sketcher, prompts: sketched.extend(prompts) or shingles(sketcher, prompts),
    )
    tasks = {
        "alpha": [*rows(1, 40, templates=2), {"prompt": "new", "response": "r"}, {"prompt": "new", "response": "s"}]
    }
    make(
        write_project(tmp_path, tasks, {"sources": {"small": {"kind": "folder", "path": "tasks", "task_prefix": "x/"}}})
    )
    assert sketched == ["new"]


def test_a_preview_of_too_much_or_from_another_version_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path)
    manifest = make(project).manifest
    write_tasks(tmp_path / "tasks", {"alpha": rows(1, 39)})
    assert preview(project, "small", manifest.model_copy(update={"code_version": "0"})) is None
    assert preview(project, "small", manifest.model_copy(update={"attachments": {}})) is None
    monkeypatch.setattr(raw_tasks, "PREVIEW_BYTES", 100)
    assert preview(project, "small", manifest) is None


def test_training_rows_are_found_by_id_in_every_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_tasks, "ROW_GROUP", 5)
    project = write_project(tmp_path)
    inputs = Inputs(project.store, {SMALL: make(project).manifest})
    train, held_out = (read_split(project, inputs, side) for side in ("train", "validation"))
    assert train.num_rows + held_out.num_rows == 77
    ids = random.Random(0).sample(train["id"].to_pylist(), 20)
    few = read_training_rows(
        project, inputs, pa.chunked_array([ids[:5], [*ids[5:], held_out["id"][0].as_py(), ids[0]]])
    )
    assert few.num_rows == 20
    assert rows_in_order(few, ids).equals(rows_in_order(train, ids))
    assert read_training_rows(project, inputs, pa.chunked_array([], pa.string())).schema == train.schema


# --- the state of files ---


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were hashed."""
    found: list[str] = []
    hash_ = files._hash
    monkeypatch.setattr(files, "_hash", lambda file: found.append(file.name) or hash_(file))
    return found


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_SETTLED_NS", -(10**18))


def test_hashes_are_remembered_in_a_file(tmp_path: Path, hashes: list[str], settled: None) -> None:
    memory, folder = tmp_path / "memory.json", tmp_path / "in"
    write_tasks(folder, {name: [{"n": name}] for name in "abc"})
    first = folder_state(folder, memory)
    assert hashes == ["a.jsonl", "b.jsonl", "c.jsonl"]
    (folder / "new").write_text((folder / "b.jsonl").read_text().replace("b", "x"))
    (folder / "new").replace(folder / "b.jsonl")  # of the same size
    os.utime(folder / "b.jsonl", ns=(0, (folder / "a.jsonl").stat().st_mtime_ns))
    second = folder_state(folder, memory)
    assert hashes[3:] == ["b.jsonl"]
    assert {name for name in first if first[name] != second[name]} == {"b.jsonl"}
    assert folder_state(folder, memory) == second == folder_state(folder)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["memory.json"]


def test_a_file_of_this_moment_is_not_remembered(tmp_path: Path, hashes: list[str]) -> None:
    write_tasks(tmp_path / "in", {"a": [{}]})
    for _ in range(2):
        folder_state(tmp_path / "in", tmp_path / "memory.json")
    assert hashes == ["a.jsonl", "a.jsonl"]


@pytest.mark.parametrize("days", [-1, 1])
def test_a_time_that_was_set_by_hand_does_not_keep_a_hash_from_being_remembered(
    tmp_path: Path, days: int, monkeypatch: pytest.MonkeyPatch, hashes: list[str]
) -> None:
    write_tasks(tmp_path / "in", {"a": [{}]})
    os.utime(tmp_path / "in" / "a.jsonl", (4e9, 4e9))
    now = time.time_ns() + days * 86_400 * 10**9
    monkeypatch.setattr("smart_assets.tasks.files.time.time_ns", lambda: now)
    for _ in range(2):
        folder_state(tmp_path / "in", tmp_path / "memory.json")
    assert hashes == ["a.jsonl"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"a"', b"[" * 100_000, b'{"1": 1}'])
def test_a_damaged_memory_is_ignored_and_replaced(
    tmp_path: Path, content: bytes, hashes: list[str], settled: None
) -> None:
    memory = tmp_path / "memory.json"
    write_tasks(tmp_path / "in", {"a": [{}]})
    memory.write_bytes(content)
    state = folder_state(tmp_path / "in", memory)
    assert state == folder_state(tmp_path / "in", memory) == folder_state(tmp_path / "in")
    assert hashes == ["a.jsonl", "a.jsonl"]


def test_a_memory_that_cannot_be_written_only_costs_time(tmp_path: Path, settled: None) -> None:
    write_tasks(tmp_path / "in", {"a": [{}]})
    assert folder_state(tmp_path / "in", tmp_path / "nowhere" / "memory.json") == folder_state(tmp_path / "in")


def test_links_in_a_circle_and_pipes_are_left_out(tmp_path: Path) -> None:
    write_tasks(tmp_path / "in" / "deep", {"a": [{}]})
    (tmp_path / "in" / "deep" / "up").symlink_to(tmp_path / "in")
    os.mkfifo(tmp_path / "in" / "pipe.jsonl")
    assert [file.name for file in list_folder(tmp_path / "in").files] == ["deep/a.jsonl"]


def test_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    for name in ("\x1b.jsonl", "\\x1b.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match=r"two files whose names look like \\x1b.jsonl. Rename one"):
        list_folder(tmp_path)


def test_the_last_change_is_that_of_files_and_folders_not_of_their_originals(tmp_path: Path) -> None:
    source, began = FolderSource(path="in"), datetime.now(UTC).timestamp() - 0.1  # the clock of files is coarse
    write_tasks(tmp_path / "in" / "sub", {"a": [{}], "b": [{}]})
    os.utime(tmp_path / "in" / "sub" / "a.jsonl", (1, 1))
    changes = [last_change(source, tmp_path)]
    touches = [(tmp_path / "in" / "sub" / "b.jsonl").unlink, (tmp_path / "in" / "x").mkdir]
    for touch in touches:
        wait_for_clock(tmp_path)
        touch()
        changes.append(last_change(source, tmp_path))
    stamps = [change.timestamp() for change in changes if change is not None]
    assert began < stamps[0] < stamps[1] < stamps[2]
    (tmp_path / "in" / "sub" / "notes.txt").touch()
    named = last_change(source, tmp_path)
    wait_for_clock(tmp_path)
    (tmp_path / "in" / "sub" / "notes.txt").write_text("more")  # no task file, so nothing waits for it
    assert last_change(source, tmp_path) == named
    assert last_change(HuggingFaceSource(path="nobody/nothing"), tmp_path) is None


def wait_for_clock(folder: Path) -> None:
    """Wait until the clock by which files are stamped has moved on."""
    probe = folder / "probe"
    probe.touch()
    now = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == now:
        probe.touch()


@pytest.mark.parametrize("ask", [source_state, last_change])
@pytest.mark.parametrize(
    ("folder", "message"),
    [pytest.param("gone", "does not exist", id="gone"), pytest.param("empty", "holds no task files", id="empty")],
)
def test_a_source_that_is_gone_is_no_empty_source(tmp_path: Path, ask: Any, folder: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=message):
        ask(FolderSource(path=folder), tmp_path)


@pytest.mark.parametrize("ask", [source_state, last_change])
@pytest.mark.parametrize("kind", [FolderSource, HuggingFaceSource])
def test_a_disk_that_does_not_answer_is_an_error_for_people(
    tmp_path: Path, ask: Any, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    found = os.stat

    def dead(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if str(path) == str(tmp_path / "in"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return found(path, *args, **options)

    monkeypatch.setattr(os, "stat", dead)
    with pytest.raises(SourceError, match=r"in cannot be read: Stale file handle. Grant access to it, or mount"):
        ask(kind(path="in"), tmp_path)


@pytest.mark.parametrize("ask", [source_state, last_change])
@pytest.mark.parametrize("kind", [FolderSource, HuggingFaceSource])
@pytest.mark.parametrize("name", ["folder", "file.jsonl"])
def test_a_link_that_leads_nowhere_is_no_file_that_left(tmp_path: Path, ask: Any, kind: Any, name: str) -> None:
    write_tasks(tmp_path / "in", {"a": [{}]})
    (tmp_path / "in" / name).symlink_to(tmp_path / "unmounted")
    with pytest.raises(SourceError, match=rf"in: {name} cannot be examined. Mount its disk, or remove the link."):
        ask(kind(path="in"), tmp_path)


# --- changes in rows ---

ROWS_OF = st.dictionaries(
    st.integers(0, 30),
    st.tuples(st.sampled_from("abc"), st.sampled_from(["", "t"]), st.sampled_from("pqr")),
    max_size=30,
)


def row_table(found: Mapping[int, tuple[str, str, str]]) -> pa.Table:
    listed = [{"id": f"{key:032x}", "task": t, "template": m, "prompt_hash": p} for key, (t, m, p) in found.items()]
    return pa.Table.from_pylist(listed, schema=pa.schema([(name, pa.string()) for name in COLUMNS]))


@given(before=ROWS_OF, after=ROWS_OF)
def test_changes_are_the_rows_that_one_side_has_alone(before: Any, after: Any) -> None:
    after = {key: (before[key][0], row[1], before[key][2]) if key in before else row for key, row in after.items()}
    old, new = row_table(before), row_table(after)
    changes = changes_between(old, new)
    assert changes.added.to_pylist() == [row for row in new.to_pylist() if row not in old.to_pylist()]
    assert changes.removed.to_pylist() == [row for row in old.to_pylist() if row not in new.to_pylist()]
    assert changes.tasks_before == Counter(old["task"].to_pylist())
    assert bool(in_words(changes)) == (sorted(old.to_pylist(), key=repr) != sorted(new.to_pylist(), key=repr))


def of(task: str, *prompts: str, salt: str = "") -> list[tuple[str, str, str, str]]:
    return [(f"{task}{prompt}{salt}{n}", task, "", prompt) for n, prompt in enumerate(prompts)]


def words(before: list[tuple[str, str, str, str]], after: list[tuple[str, str, str, str]]) -> tuple[str, ...]:
    tables = [pa.table([[row[at] for row in found] for at in range(4)], schema=SCHEMA) for found in (before, after)]
    return in_words(changes_between(*tables))


SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
MANY = [f"p{n}" for n in range(1500)]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(of("a", "p"), of("a", "p"), (), id="nothing"),
        pytest.param(of("a", "p"), of("a", "p", "q"), ("task `a` has 1 new row",), id="one row"),
        pytest.param(of("a", "p"), of("a", "p", *MANY), ("task `a` has 1,500 new rows",), id="many rows"),
        pytest.param(
            of("a", "p", "q", "r"),
            of("a", "p") + of("a", "q", "s", "t", salt="!"),
            ("task `a` has 1 changed row, 2 new, 1 removed",),
            id="a response changed",
        ),
        pytest.param([], of("a", "p"), ("task `a` is new (1 row)",), id="a new task"),
        pytest.param(
            of("a", "p", "q"), of("b", "r"), ("task `a` is gone (2 rows)", "task `b` is new (1 row)"), id="both"
        ),
        pytest.param(
            of("a", "p", "q") + of("c", "p"),
            of("b", "p", "q") + of("c", "p"),
            ("task `a` is now called `b` (2 rows)",),
            id="another name",
        ),
        pytest.param(
            of("a", "p") + of("b", "p"),
            of("c", "p"),
            ("task `a` is now called `c` (1 row)", "task `b` is gone (1 row)"),
            id="two tasks became one",
        ),
        pytest.param(
            of("a", "p", "q") + of("old", *MANY),
            of("new", *MANY) + of("a", "p") + [row for name in "bcdef" for row in of(name, "p", "q")] + of("g", "p"),
            (
                "task `old` is now called `new` (1,500 rows)",
                *(f"task `{name}` is new (2 rows)" for name in "bcde"),
                "and 3 more tasks (3 new rows, 1 removed)",
            ),
            id="more than five",
        ),
        pytest.param([], of("x" * 300, "p"), (f"task `{'x' * 57}...` is new (1 row)",), id="a long name"),
    ],
)  # fmt: skip
def test_changes_in_words(before: Any, after: Any, told: tuple[str, ...]) -> None:
    assert words(before, after) == told


def test_signatures_are_those_of_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_BATCH_BYTES", 100)
    project = write_project(tmp_path)
    make(project)
    write_tasks(tmp_path / "tasks", {"alpha": rows(4, 30)})
    folder = project.store.artifact(make(project).manifest)
    prompts = pq.read_table(folder / "instances.parquet")["prompt"].to_pylist()
    sketcher = Sketcher()
    assert np.array_equal(np.load(folder / "signatures.npy"), sketcher.signatures(prompts))
