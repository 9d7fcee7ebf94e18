"""Subsets derived again in an empty store: equal, tampered, of other settings, of the past; and the command."""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from smart_assets.cli.main import app
from smart_assets.errors import ProgramError, SmartError, StoreError, UpstreamMissingError
from smart_assets.lineage.diff.references import find_subset
from smart_assets.lineage.reproduce.launch import launcher
from smart_assets.lineage.reproduce.reproduction import Extent, Reproduction, reproduce
from smart_assets.lineage.reproduce.tables import first_difference
from smart_assets.lineage.reproduce.weights import compare_weights
from smart_assets.pipeline.parquet import write_table
from smart_assets.pipeline.step import RunContext
from smart_assets.pipeline.verdicts import GAIN_TOLERANCE
from smart_assets.selection.mixture import MIXTURE_COLUMNS
from smart_assets.settings import Project, load_project
from smart_assets.store import Manifest
from smart_assets.training.finetune import finetune as finetune_job
from smart_assets.training.job import TrainingJob
from smart_assets_tests.programs import no_program
from smart_assets_tests.projects import rows, write_project, write_tasks
from smart_assets_tests.test_incremental import make
from smart_assets_tests.tiny_model import make_tiny_model

HOSTILE = "[red]hostile[/red] <b>'; DROP |"
TASKS = {HOSTILE: rows(1, 40, templates=2), "beta": rows(2, 25), "gamma": rows(3, 12)}


def write(root: Path, **changes: Any) -> Project:
    lines = [{"t": name, **row} for name, found in TASKS.items() for row in found]
    sources = {"small": {"kind": "folder", "path": "tasks", "columns": {"task": "t"}}}
    return write_project(root, {"all": lines}, {"sources": sources, "budgets": [20], **changes})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    make(write(folder), "selected_subset")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    shutil.copytree(template, tmp_path / "project")
    return load_project(tmp_path / "project" / "smart.yaml")


def current(project: Project, asset: str, partition: str | None) -> Manifest:
    manifest = project.store.current(asset, partition)
    assert manifest is not None
    return manifest


def again(
    project: Project, folder: Path, recipe: str = "smart", version: str | None = None, **extent: Any
) -> Reproduction:
    run = RunContext(log=lambda _: None, launch=no_program, device="cpu")
    subset = find_subset(project.store, 20, recipe, version)
    return reproduce(project, subset, folder / "again", Extent(**extent), run)


def tamper(
    project: Project,
    manifest: Manifest,
    file: str,
    change: Callable[[Path], None],
    facets: Mapping[str, str] | None = None,
) -> Manifest:
    """Record another content under the fingerprint of a manifest, as a bug or a hand would leave it."""
    store = project.store
    with store.draft() as draft:
        shutil.copytree(store.artifact(manifest), draft / "content")
        change(draft / "content" / file)
        artifact = store.commit(manifest.asset, draft / "content")
    update = {"content_version": artifact.version, "files": artifact.files, "facets": facets or manifest.facets}
    changed = manifest.model_copy(update=update)
    store.record(changed)
    return changed


def subset_rows(project: Project, recipe: str) -> list[dict[str, Any]]:
    folder = project.store.artifact(current(project, "selected_subset", f"20|{recipe}"))
    return pq.read_table(folder / "subset.parquet").to_pylist()


def state(project: Project) -> dict[Path, tuple[int, int]]:
    paths = (path for path in project.store.root.rglob("*") if path.is_file())
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def smart(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(project.config)])


def edit(project: Project, old: str, new: str) -> Project:
    text = project.config.read_text()
    assert old in text
    project.config.write_text(text.replace(old, new))
    return load_project(project.config)


@pytest.mark.parametrize("recipe", ["smart", "random"])
def test_a_subset_is_what_its_recipe_gives_and_the_store_stays_as_it_is(
    project: Project, tmp_path: Path, recipe: str
) -> None:
    before = state(project)
    found = again(project, tmp_path, recipe)
    assert found.holds
    assert found.subset.identical
    assert found.subset.stored == found.subset.reproduced
    assert found.notes == ()
    assert state(project) == before
    made = {path.name for path in (tmp_path / "again" / "artifacts").iterdir()}
    anew = {"selected_subset", "evaluation_overlap"} | (
        {"instance_orderings", "task_scores"} if recipe == "smart" else set()
    )
    links = {path.relative_to(tmp_path / "again" / "artifacts").parts[0] for path in made_links(tmp_path / "again")}
    assert made - links == anew, "what is proved is made anew; only rows and vectors are given"
    shutil.rmtree(tmp_path / "again")
    assert state(project) == before


def made_links(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink()]


def test_a_tampered_ordering_shows_as_the_first_row_that_differs(project: Project, tmp_path: Path) -> None:
    honest = subset_rows(project, "smart")

    def swap(path: Path) -> None:
        table = pq.read_table(path).to_pylist()
        ours = [row for row in table if row["task"] == "beta"]
        ours[0]["id"], ours[-1]["id"] = ours[-1]["id"], ours[0]["id"]
        write_table(pa.Table.from_pylist(table, pq.read_schema(path)), path)

    tamper(project, current(project, "instance_orderings", "small"), "orderings.parquet", swap)
    make(project, "selected_subset")
    tampered = subset_rows(project, "smart")
    expected = next(place for place, pair in enumerate(zip(tampered, honest, strict=True)) if pair[0] != pair[1])
    found = again(project, tmp_path)
    assert not found.holds
    first = found.subset.first
    assert first is not None
    assert (first.position, first.columns) == (expected, ("id",))
    assert (first.stored, first.reproduced) == (tampered[expected], honest[expected])
    assert (found.subset.only_stored, found.subset.only_reproduced) == (1, 1)
    assert found.subset.budgets == ()
    scores, orderings = found.steps
    assert (scores.key, scores.first) == ("task_scores", None)
    assert orderings.first is not None
    assert orderings.first.columns == ("id",)
    assert (orderings.first.stored or {})["rank"] == 0, "where it went astray"


def move_a_row_of_budget(path: Path) -> None:
    table = pq.read_table(path).to_pylist()
    table[0]["budget"] += 1
    table[1]["budget"] -= 1
    write_table(pa.Table.from_pylist(table, pq.read_schema(path)), path)


@pytest.mark.parametrize("in_place", [True, False], ids=["in the artifact", "in a new artifact"])
def test_a_tampered_budget_shows_by_its_task(project: Project, tmp_path: Path, in_place: bool) -> None:
    manifest = current(project, "selected_subset", "20|smart")
    budgets = pq.read_table(project.store.artifact(manifest) / "task_budgets.parquet").to_pylist()
    if in_place:
        move_a_row_of_budget(project.store.artifact(manifest) / "task_budgets.parquet")
    else:
        tamper(project, manifest, "task_budgets.parquet", move_a_row_of_budget)
    found = again(project, tmp_path)
    assert not found.holds
    assert found.subset.first is None
    assert [(one.task, one.columns) for one in found.subset.budgets] == [
        (row["task"], ("budget",)) for row in budgets[:2]
    ]
    assert found.subset.budgets[0].reproduced == budgets[0]
    assert found.subset.damaged == (("task_budgets.parquet",) if in_place else ())


def test_gains_within_rounding_leave_the_rows_what_they_are(project: Project, tmp_path: Path) -> None:
    def scaled(by: float) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            table = pq.read_table(path)
            gains = pc.multiply(table["gain"], by)
            write_table(table.set_column(table.schema.get_field_index("gain"), table.schema.field("gain"), gains), path)

        return change

    honest = current(project, "selected_subset", "20|smart")
    for by, holds in ((1 + 1e-9, True), (1.01, False)):
        project.store.record(honest)
        tamper(project, honest, "subset.parquet", scaled(by))
        found = again(project, tmp_path)
        assert found.subset.same_rows
        assert not found.subset.identical
        assert found.holds == holds
        assert found.subset.figures_apart == pytest.approx(by - 1, rel=0.02)
        assert found.subset.first is not None
        assert found.subset.first.columns == ("gain",)
        assert [step.first for step in found.steps] == ([] if holds else [None, None]), "only the subset was changed"
        shutil.rmtree(tmp_path / "again")
        shown = smart(project, "reproduce", "20", "smart")
        assert shown.exit_code == (0 if holds else 1)
        assert ("the same rows in the same places: 20|smart" in shown.output) == holds


def test_settings_are_those_of_then(project: Project, tmp_path: Path) -> None:
    changed = edit(
        project,
        "recipes:\n- smart\n- random\n",
        "selection: {engine: submodlib, approximate_above: 3}\nvalidation: {fraction: 0.3, similarity: 0.9}\n"
        "recipes: {smart: {preset: smart, task_budgets: {kind: submodular, temperature: 3}}}\n",
    )
    found = again(changed, tmp_path)
    assert found.holds
    assert any("recipe `smart`: task_budgets.temperature: 1.0 -> 3" in note for note in found.notes), found.notes
    shutil.rmtree(tmp_path / "again")
    random = again(changed, tmp_path, "random")
    assert random.holds
    assert random.notes == ("smart.yaml has no 20|random any more",)


def test_approximate_orderings_are_approximated_again(project: Project, tmp_path: Path) -> None:
    section = "selection: {approximate_above: 15}\ndevice"
    make(edit(project, "device", section), "selected_subset")
    approximate = current(project, "instance_orderings", "small")
    assert approximate.summary["approximate orderings"]
    plain = edit(project, section, "selection: {approximation: stochastic_greedy}\ndevice")
    with pytest.raises(SmartError, match=r"instance_orderings\[small\] .* approximate: .*nearest_neighbours.* is gone"):
        again(plain, tmp_path)
    assert not (tmp_path / "again").exists(), "refused before anything is made"
    assert again(edit(plain, "selection: {approximation: stochastic_greedy}\n", ""), tmp_path).holds


def test_two_sources_that_leak_into_each_other(tmp_path: Path) -> None:
    more = [{"t": f"copy {index}", **row} for index, row in enumerate(rows(1, 40))]
    write_tasks(tmp_path / "more", {"all": more})
    sources: dict[str, Any] = {
        name: {"kind": "folder", "path": path, "columns": {"task": "t"}}
        for name, path in (("one", "tasks"), ("two", "more"))
    }
    project = write(tmp_path, sources=sources, validation={"fraction": 0.4})
    make(project, "selected_subset")
    left_out = "rows left out for evaluation text"
    assert current(project, "selected_subset", "20|smart").summary[left_out] > 0
    swapped = write(tmp_path, sources={name: sources[name] for name in ("two", "one")})
    for recipe in ("smart", "random"):
        assert again(swapped, tmp_path, recipe).holds
        shutil.rmtree(tmp_path / "again")


def test_a_source_that_is_gone_from_smart_yaml_is_still_that_of_then(project: Project, tmp_path: Path) -> None:
    assert again(edit(project, "small:", "other:"), tmp_path).holds


def test_a_version_of_the_past_is_derived_from_the_rows_of_then(project: Project, tmp_path: Path) -> None:
    old = current(project, "selected_subset", "20|smart")
    lines = (project.root / "tasks" / "all.jsonl").read_text().splitlines()
    (project.root / "tasks" / "all.jsonl").write_text("\n".join(lines[:30] + lines[50:]))
    make(project, "selected_subset")
    new = current(project, "selected_subset", "20|smart")
    assert new.content_version != old.content_version
    for version in (old.content_version[:8], None):
        found = again(project, tmp_path, version=version)
        assert found.holds
        assert found.subset.stored == (new if version is None else old).content_version
        shutil.rmtree(tmp_path / "again")


def test_collected_files_are_compared_by_their_hashes(project: Project, tmp_path: Path) -> None:
    manifest = current(project, "selected_subset", "20|smart")
    shutil.rmtree(project.store.artifact(manifest))
    found = again(project, tmp_path)
    assert found.holds
    assert found.subset.rows is None


def test_collected_vectors_are_made_again_from_the_stored_rows(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(project.store.artifact(current(project, "prompt_embeddings", "small")))
    shutil.rmtree(project.root / "tasks")
    found = again(project, tmp_path)
    assert found.holds
    assert found.notes == (
        "the vectors of source `small` are not in the store any more: its prompts are embedded again",
    )


@pytest.mark.parametrize("asset", ["raw_tasks", "prompt_embeddings"])
def test_damaged_rows_and_vectors_prove_nothing(project: Project, tmp_path: Path, asset: str) -> None:
    folder = project.store.artifact(current(project, asset, "small"))
    path = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is not what was written: `smart verify`"):
        again(project, tmp_path)


def test_from_raw_rows_and_vectors_are_compared_too(project: Project, tmp_path: Path) -> None:
    embeddings = current(project, "prompt_embeddings", "small")
    vectors = np.load(project.store.artifact(embeddings) / "vectors.npy")
    turned = vectors.copy()
    turned[3] = np.roll(turned[3], 1)
    tamper(project, embeddings, "vectors.npy", lambda path: np.save(path, turned))
    make(project, "selected_subset")
    text = (project.root / "tasks" / "all.jsonl").read_text()
    (project.root / "tasks" / "all.jsonl").write_text(text.replace("item 1:", "thing 1:"))
    before = state(project)
    found = again(project, tmp_path, from_raw=True)
    assert state(project) == before
    [source] = found.rows
    assert (source.stored, source.read, source.only_stored, source.only_read) == (77, 77, 3, 3)
    assert not source.identical
    assert source.words
    [one] = found.vectors
    distance = 1 - float(turned[3].astype(np.float64) @ vectors[3].astype(np.float64))
    assert (one.prompts, one.differing) == (74, 1)
    assert one.max_distance == pytest.approx(distance, abs=1e-6)
    assert one.mean_distance == pytest.approx(distance / 74, abs=1e-6)


def test_other_vectors_of_the_same_rows_move_gains_alone(tmp_path: Path) -> None:
    project = write(tmp_path, recipes={"mixed": {"preset": "smart", "instances": "random"}})
    make(project, "selected_subset")
    assert again(project, tmp_path, "mixed").subset.identical, "vectors count by the tasks' means alone"
    shutil.rmtree(tmp_path / "again")

    def blur(path: Path) -> None:
        for name in ("vectors.npy", "task_means.npy"):
            vectors = np.load(path.with_name(name))
            noise = np.random.default_rng(0).standard_normal(vectors.shape)
            np.save(path.with_name(name), (vectors + 1e-4 * noise).astype(np.float32))

    tamper(project, current(project, "prompt_embeddings", "small"), "vectors.npy", blur, {"tasks": "0" * 32})
    make(project, "selected_subset")
    found = again(project, tmp_path, "mixed", from_raw=True)
    assert found.vectors[0].differing == 77
    assert found.subset.figures_apart > GAIN_TOLERANCE
    assert not found.subset.identical
    assert found.holds


def test_scores_and_orderings_of_two_states_prove_nothing(project: Project, tmp_path: Path) -> None:
    scores = current(project, "task_scores", None)
    old = current(project, "prompt_embeddings", "small")
    project.store.record(old.model_copy(update={"facets": {"tasks": "0" * 32}}))
    other = scores.model_copy(update={"inputs": {"prompt_embeddings[small]#tasks": "0" * 32}})
    project.store.record(other)
    project.store.record(old)
    with pytest.raises(
        SmartError, match=r"behind selected_subset\[20\|smart\] were made of two states of source `small`"
    ):
        again(project, tmp_path)


def test_a_program_that_fails_ends_with_its_code() -> None:
    told: list[str] = []
    with pytest.raises(ProgramError, match="the program ended with code 3"):
        launcher(told.append)(["-c", "print('a line', flush=True); raise SystemExit(3)"])
    assert told == ["a line"]


def test_from_raw_another_encoder_is_refused(project: Project, tmp_path: Path) -> None:
    changed = edit(project, "device: cpu", "embedding: {max_length: 16}\ndevice: cpu")
    assert again(changed, tmp_path).holds, "stored vectors need no encoder"
    shutil.rmtree(tmp_path / "again")
    with pytest.raises(SmartError, match=r"prompt_embeddings\[small\] .* encoder changed.* Set them back"):
        again(changed, tmp_path, from_raw=True)


def test_without_a_checkpoint_nothing_can_be_trained_again(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UpstreamMissingError, match=r"no finetuned_checkpoint\[20\|smart\] was trained on version"):
        again(project, tmp_path, train=True)


def test_the_command_says_what_it_found(project: Project, tmp_path: Path) -> None:
    done = smart(project, "reproduce", "20", "random", "--keep", str(tmp_path / "kept"))
    assert done.exit_code == 0, done.output
    assert re.search(r"identical: 20\|random [0-9a-f]{12}\n", done.output)
    assert (tmp_path / "kept" / "manifests").is_dir()
    manifest = current(project, "selected_subset", "20|smart")

    def drop_first(path: Path) -> None:
        write_table(pq.read_table(path).slice(1), path)

    def lose_weights(path: Path) -> None:
        table = pq.read_table(path)
        write_table(table.set_column(table.schema.get_field_index("weight"), "weight", [[0.0] * len(table)]), path)

    tampered = tamper(project, manifest, "subset.parquet", drop_first)
    tamper(project, tampered, "task_budgets.parquet", lose_weights)
    done = smart(project, "reproduce", "20", "smart")
    assert done.exit_code == 1
    assert "the first difference is at position 0" in done.output
    assert "19 rows stored, 20 reproduced; 0 only stored, 1 only reproduced" in done.output
    assert "[red]hostile[/red]" in done.output
    done = smart(project, "reproduce", "20", "smart", "--json")
    assert done.exit_code == 1
    told: Mapping[str, Any] = json.loads(done.stdout)
    assert told["holds"] is told["subset"]["identical"] is False
    assert told["subset"]["first"]["position"] == 0
    assert told["subset"]["rows"] == [19, 20]
    assert not list(tmp_path.glob("**/smart-reproduce-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["11", "smart"], r"no subset '11\|smart'; there are subsets: 20\|random@[0-9a-f]{12}, 20\|smart@"),
        (["20", "smart", "--version", "00000000"], r"no subset '20\|smart@0{8}'; there are subsets: 20\|smart@"),
        (["20", "smart", "--version", "xyz"], r"names no subset or checkpoint: write 'BUDGET\|RECIPE'"),
        (["20", "smart", "--seed", "0"], r"give --train with it"),
        (["20", "smart", "--keep", "tasks"], r"tasks is there already: .* name a new folder"),
    ],
)
def test_what_cannot_be_reproduced_is_said(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(project.root)
    done = smart(project, "reproduce", *arguments)
    assert isinstance(done.exception, SmartError)
    assert re.search(message, str(done.exception)), str(done.exception)


mixture_rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abc"),
            "source": st.just("s"),
            "task": st.sampled_from("tu"),
            "template": st.just(""),
            "rank": st.integers(0, 1),
            "gain": st.sampled_from([None, 0.0, 1.5]),
            "seed": st.sampled_from([None, 0, 1]),
        }
    ),
    max_size=4,
)


@given(mixture_rows, mixture_rows)
@settings(deadline=None)
def test_the_first_difference_is_that_of_a_plain_loop(stored: list[Any], reproduced: list[Any]) -> None:
    places = range(max(len(stored), len(reproduced)))
    expected = next((at for at in places if stored[at : at + 1] != reproduced[at : at + 1]), None)
    found = first_difference(*(pa.Table.from_pylist(one, MIXTURE_COLUMNS) for one in (stored, reproduced)))
    assert (found and found.position) == expected
    if found is not None and found.stored is not None and found.reproduced is not None:
        differ = [name for name in MIXTURE_COLUMNS.names if found.stored[name] != found.reproduced[name]]
        assert found.columns == tuple(differ)


def test_weights_are_compared_to_the_bit(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    old = {"a": torch.tensor([1.0, 0.0]), "b": torch.ones(2, 2), "c": torch.ones(1), "e": torch.tensor([float("nan")])}
    new = {"a": torch.tensor([1.5, -0.0]), "b": torch.ones(4), "d": torch.ones(1), "e": torch.tensor([float("nan")])}
    for name, tensors in (("old", old), ("new", new)):
        (tmp_path / name / "model").mkdir(parents=True)
        save_file(tensors, tmp_path / name / "model" / "model.safetensors")
    same = compare_weights(0, tmp_path / "old", tmp_path / "old")
    assert (same.identical, same.tensors) == (True, 4)
    found = compare_weights(0, tmp_path / "old", tmp_path / "new")
    assert {one.name.split()[1]: one.largest for one in found.differing} == {"a": 0.5, "b": None, "c": None, "d": None}
    assert found.largest is None, "a tensor that cannot be compared stands first"
    save_file({**old, "a": torch.tensor([1.0, -0.0])}, tmp_path / "new" / "model" / "model.safetensors")
    found = compare_weights(0, tmp_path / "old", tmp_path / "new")
    assert not found.identical, "zeros of two signs are other bits"
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no weights"):
        compare_weights(0, tmp_path / "empty", tmp_path / "empty")


def test_training_again_gives_the_same_weights(tmp_path: Path) -> None:
    """Once in this process, then by the real program: float32 on a CPU."""
    make_tiny_model(tmp_path / "model", chat=True)
    finetune = {"base_model": "model", "effective_batch": 4, "micro_batch": 2, "precision": "float32"}
    project = write(tmp_path, recipes=["random"], finetune=finetune)
    told: list[str] = []

    def here(arguments: Sequence[str]) -> None:
        finetune_job(TrainingJob.read(Path(arguments[-1])), lambda _: None)

    make(project, "finetuned_checkpoint", run=RunContext(log=lambda _: None, launch=here, device="cpu"))
    run = RunContext(log=told.append, launch=launcher(told.append), device="cpu")
    checkpoint = current(project, "finetuned_checkpoint", "20|random")
    changed = edit(project, "effective_batch: 4", "effective_batch: 8")
    before = state(project)
    subset = find_subset(changed.store, 20, "random", None)
    found = reproduce(changed, subset, tmp_path / "again", Extent(train=True, seed=0), run)
    assert state(project) == before
    assert found.holds
    [weights] = found.weights
    assert (weights.seed, weights.identical) == (0, True)
    assert weights.tensors > 10
    assert any("step 5/5" in line for line in told), "the program's progress is told"
    assert checkpoint.summary["seeds"]["0"]["steps"] == 5
    with pytest.raises(UpstreamMissingError, match=r"has no seed 7; its seeds are \[0\]"):
        reproduce(changed, subset, tmp_path / "more", Extent(train=True, seed=7), run)
