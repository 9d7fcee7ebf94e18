"""What comes out is to the byte what reading everything gives, whatever changed and however it was chunked."""

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.assets import parquet, raw_tasks
from smart_assets.assets.raw_tasks import preview
from smart_assets.assets.reading.rows import read_split, read_training_rows, rows_in_order
from smart_assets.assets.step import Inputs
from smart_assets.core.errors import SourceError
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.tasks import formats, judge, signatures, texts
from smart_assets.tasks.changes import RowChanges, changes_between
from smart_assets.tasks.near_duplicates import Sketcher
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.small_source import SMALL, content_of, edit, make_small, small_project

# Few texts and tasks, so that rows are often equal, inside a file and between files.
PROMPTS = ["one two three four", "One two three four!", "five six seven", "eight"]
OTHER_SHAPES: list[dict[str, Any]] = [
    {"instruction": "five", "input": "six seven", "output": "yes"},
    {"instruction": "five six seven", "text": "five six seven yes", "output": "yes"},
    {"conversations": ["eight", "yes"]},
    {"prompt": "eight", "completion": "yes", "label": False},
    {"messages": [{"role": "user", "content": "eight", "mood": 1}, {"role": "assistant", "content": "yes"}]},
    {"question": "eight", "answer": "yes"},
]
NAMES = ["a.jsonl", "b.jsonl", "c.json", "d.csv", "sub/e.jsonl", "sub/f.jsonl"]


def random_row(rng: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt": rng.choice(PROMPTS), "response": rng.choice(["yes", "yes", "no", ""])}
    row |= rng.choice([{}, {"task_name": "x"}, {"task_name": "x", "template": "t"}, {"task_name": "y"}])
    row |= rng.choice([{}, {"author": "ann"}, {"author": "bob"}])
    if rng.random() < 0.2:
        roles = ("system", rng.choice(["be brief", "be kind"])), ("user", "eight"), ("assistant", "yes")
        return {"task_name": "x", "messages": [{"role": role, "content": content} for role, content in roles]}
    if rng.random() < 0.2:
        return rng.choice(OTHER_SHAPES)
    return row | rng.choice(
        [{}, {}, {"lang": rng.choice("ab")}, {"score": float("nan")}, {"x": [{"y": rng.choice("ab")}]}]
    )


def random_message(rng: random.Random) -> dict[str, Any]:
    """A message of a tree, which may belong to none."""
    role, parent = rng.choice(["prompter", "assistant"]), rng.choice([None, *"abc"])
    text = rng.choice(PROMPTS)
    return {
        "message_id": rng.choice("abcd"),
        "parent_id": parent,
        "role": role,
        "text": text,
        "rank": rng.choice([0, 1]),
    }


def random_content(rng: random.Random, name: str) -> str:
    """A file of a few rows, some bad; now and then the file is broken as a whole."""
    found = [random_row(rng) for _ in range(rng.randint(0, 7))]
    if name.endswith(".json"):
        noted = {"version": rng.choice([1, 2]), "note": None, "data": found}
        return rng.choice([json.dumps(found), json.dumps(noted), "[{"])
    if name.endswith(".csv"):
        named = [",".join(str(row.get(key, "")) for key in ("prompt", "response", "task_name")) for row in found]
        return "\n".join(
            [rng.choice(["prompt,response,task_name"] * 3 + ["prompt,response,response", "nothing"]), *named]
        )
    if rng.random() < 0.2:
        found = [random_message(rng) for _ in found]
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


def versions(manifest: Manifest) -> tuple[str, str, Mapping[str, str], Mapping[str, Any]]:
    """Hashes of all that was written, and what is said of it."""
    return manifest.content_version, manifest.attachments["origins"].version, manifest.facets, manifest.summary


def listed(changes: RowChanges) -> tuple[list[Any], list[Any], Mapping[str, int]]:
    added, removed = (sorted(table.to_pylist(), key=repr) for table in (changes.added, changes.removed))
    return added, removed, changes.tasks_before


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1 << 30), by_column=st.booleans())
def test_reading_what_changed_gives_what_reading_everything_gives(
    seed: int, by_column: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("edits")
    columns: dict[str, Any] = {"keep": ["author"], **({"task": "task_name"} if by_column else {})}
    sources: dict[str, Any] = {"sources": {"small": {"kind": "folder", "path": str(folder / "in"), "columns": columns}}}
    project = small_project(folder, **sources)
    edit(folder / "in", {"sub/z.csv": "prompt,response,task_name\nsix,yes,x\nsix,yes,x\nsix\n"})
    before = None
    for step, changes in enumerate(random_edits(random.Random(seed))):
        edit(folder / "in", changes)
        fresh = small_project(folder / f"fresh{step}", folder / "in", **sources)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(judge, "_CHUNK_ROWS", 1 + seed % 4)
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
            outcome = make_small(project)
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
        return make_small(project).manifest, ""
    except SourceError as error:
        return None, str(error)


def record_opened(patch: pytest.MonkeyPatch) -> Counter[str]:
    opened: Counter[str] = Counter()
    read_file = formats.read_file

    def recorded(path: Path, *rest: Any) -> Iterator[Any]:
        opened[str(path).partition("/in/")[2]] += 1
        return read_file(path, *rest)

    patch.setattr(formats, "read_file", recorded)
    return opened


def test_a_duplicate_comes_back_with_its_own_template_without_its_file_being_read(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    row = {"prompt": "p", "response": "r", "task_name": "x"}
    edit(tmp_path / "in", {"a.jsonl": json.dumps({**row, "template": "first"}), "b.jsonl": json.dumps(row)})
    make_small(project)
    assert content_of(project)["template"].to_pylist() == ["first"]
    edit(tmp_path / "in", {"a.jsonl": json.dumps({**row, "prompt": "q"})})
    made = make_small(project).manifest.made
    assert sorted(content_of(project)["template"].to_pylist()) == ["", ""]
    assert {name: made[name] for name in ("files read", "files reused", "rows read")} == {
        "files read": 1,
        "files reused": 1,
        "rows read": 1,
    }


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("run_bytes", [1, 500, 10**9])
def test_bytes_depend_on_neither_chunks_nor_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, run_bytes: int
) -> None:
    monkeypatch.setattr(raw_tasks, "ROW_GROUP", 5)
    monkeypatch.setattr(parquet, "ROW_GROUP", 5)
    monkeypatch.setattr(judge, "_CHUNK_ROWS", chunk)
    monkeypatch.setattr(texts, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(judge, "_CHUNK_CHARACTERS", run_bytes)
    monkeypatch.setattr(signatures, "_BATCH_BYTES", run_bytes)
    project = write_project(tmp_path)
    manifest = make_small(project).manifest
    path = project.store.artifact(manifest) / "instances.parquet"
    parquet.write_table(pq.read_table(path).cast(pa.schema([*pq.read_schema(path)])), tmp_path / "at-once.parquet")
    assert path.read_bytes() == (tmp_path / "at-once.parquet").read_bytes()
    assert pq.ParquetFile(path).num_row_groups == 16


def test_long_rows_are_held_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    monkeypatch.setattr(judge, "_CHUNK_CHARACTERS", 300)
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
    make_small(write_project(tmp_path, {**tasks, "beta": [], "gamma": []}))
    assert sum(held) == 60
    assert max(held) <= 4


def test_the_content_is_what_it_always_was(tmp_path: Path) -> None:
    assert make_small(write_project(tmp_path)).manifest.content_version == CONTENT_VERSION


CONTENT_VERSION = "700b1e71b85791df504f832137b527ca"


def test_training_rows_are_found_by_id_in_every_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_tasks, "ROW_GROUP", 5)
    project = write_project(tmp_path)
    inputs = Inputs(project.store, {SMALL: make_small(project).manifest})
    train, held_out = (read_split(project, inputs, side) for side in ("train", "validation"))
    assert train.num_rows + held_out.num_rows == 77
    ids = random.Random(0).sample(train["id"].to_pylist(), 20)
    few = read_training_rows(
        project, inputs, pa.chunked_array([ids[:5], [*ids[5:], held_out["id"][0].as_py(), ids[0]]])
    )
    assert few.num_rows == 20
    assert rows_in_order(few, ids).equals(rows_in_order(train, ids))
    assert read_training_rows(project, inputs, pa.chunked_array([], pa.string())).schema == train.schema
