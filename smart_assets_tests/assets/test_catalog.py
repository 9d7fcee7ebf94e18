"""The catalog: what an entry makes of a new asset, what it refuses, and that steps do what it declares."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smart_assets.assets import catalog, raw_tasks, selected_subset, task_scores
from smart_assets.assets.declaration import Array, Asset, FromTexts, OtherFiles, Table, Upstream
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Input, Inputs, RunContext, StepResult
from smart_assets.assets.work import Work
from smart_assets.cli.forget import remove_forgotten
from smart_assets.core.errors import CatalogError
from smart_assets.defs.automation import look_at_sources
from smart_assets.defs.build import build_definitions
from smart_assets.documents.sql_export import export_views
from smart_assets.forgetting.find import by_text
from smart_assets.lineage.sql.connect import connect
from smart_assets.planning.graph import desired_states, partitions, read_current_state
from smart_assets.planning.plan import PlanStep, Status, make_plan
from smart_assets.planning.retraining import decide
from smart_assets.settings import Project
from smart_assets.store.settings import Retention
from smart_assets.upkeep.gc import find_garbage, remove_garbage
from smart_assets_tests.support import toy_asset
from smart_assets_tests.support.artifacts import grow_older
from smart_assets_tests.support.make import current, make, read_rows, run_context
from smart_assets_tests.support.plans import current_plan
from smart_assets_tests.support.projects import own_copy, write_project
from smart_assets_tests.support.secret_project import PARTITION, SECRET, Parrot, files_with, forgotten, instances

TOY = AssetPartition(toy_asset.NAME, "small")
TOY_ENTRY = Asset(
    step=toy_asset,
    description="The first words of every row of a source, for people who look through them.",
    partitioned_by="source",
    job="update_sources",
    requested_by="task_sources",
    group="tasks",
    kinds=frozenset({"parquet"}),
    summary=None,
    upstream=(Upstream(raw_tasks.NAME),),
    files=(Table("words.parquet", toy_asset.WORDS, texts=frozenset({"words"}), view="first_words"),),
    from_texts=None,
    work=Work("rows to shorten", toy_asset.rows_to_shorten, toy_asset.rows_shortened),
)
COLUMNS = pa.schema([("id", pa.string()), ("said", pa.string())])


@pytest.fixture
def project(secret_project: Project, tmp_path: Path) -> Project:
    return own_copy(secret_project.root, tmp_path)


def make_all(project: Project) -> list[str]:
    assets = [name for name in catalog.names() if name != "mixture_report"]  # whose pictures take long
    made = make(project, *assets, run=run_context(Parrot()), complete=None)
    return [name for name, result in made.items() if not result.unchanged]


def forget_the_secret(project: Project) -> tuple[str, ...]:
    return forgotten(project, lambda reader: by_text(reader, SECRET)).record.ids


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "CATALOG", catalog.checked((*catalog.CATALOG, TOY_ENTRY)))


@pytest.mark.usefixtures("toy")
def test_a_new_asset_is_one_module_and_one_entry(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = current_plan(project)[str(TOY)]
    assert (before.step.status, before.step.reasons) == ("missing", ("never made",))
    assert before.cost is not None
    assert before.cost.work == {"rows to shorten": len(instances(project))}
    assert before.cost.seconds is None, "no run of it is known"

    spec = {one.key.to_user_string(): one for one in build_definitions(project).resolve_all_asset_specs()}[TOY.asset]
    assert (spec.group_name, spec.code_version) == ("tasks", "1")
    assert [one.asset_key.to_user_string() for one in spec.deps] == ["raw_tasks"]
    with dg.instance_for_test() as instance:
        [request], _ = look_at_sources(project, instance)
    assert (request.job_name, request.partition_key) == ("update_sources", "small")
    assert request.asset_selection == [dg.AssetKey(TOY.asset)]

    assert make_all(project) == [str(TOY)]
    assert connect(project, print).execute("SELECT count(*), min(source) FROM first_words").fetchall() == [
        (len(instances(project)), "small")
    ]
    export_views(connect(project, print), project.root / "audit.duckdb", texts=False)
    import duckdb

    with duckdb.connect(str(project.root / "audit.duckdb")) as exported:
        assert [row[0] for row in exported.execute("DESCRIBE first_words").fetchall()] == [
            "source", "id", "task", "content_version",
        ]  # fmt: skip
    (project.root / "audit.duckdb").unlink()

    monkeypatch.setattr(toy_asset, "CODE_VERSION", "2")
    again = current_plan(project)[str(TOY)]
    assert again.step.reasons == ("code version 1 -> 2",)
    assert again.cost is not None
    assert again.cost.seconds is not None, "priced by the run before"


@pytest.mark.usefixtures("toy")
def test_forgotten_rows_leave_a_new_asset_and_what_was_replaced_is_collected(project: Project) -> None:
    make_all(project)
    first = current(project, TOY.asset, TOY.partition)
    assert any(SECRET in row["words"] for row in read_rows(project, TOY.asset, "words.parquet", TOY.partition))
    ids = {row["id"] for row in instances(project) if SECRET in row["prompt"]}
    assert ids < {*forget_the_secret(project)}
    assert str(TOY) in make_all(project)
    assert not any(SECRET in row["words"] for row in read_rows(project, TOY.asset, "words.parquet", TOY.partition))

    remove_forgotten(project.root, dry_run=False)
    assert files_with(SECRET, project.store.root) == []
    redaction = project.store.redaction(TOY.asset, first.content_version)
    assert redaction is not None
    assert redaction.replaced_by is not None, "the other rows are kept"
    kept = pq.read_table(project.store.folder(redaction.replaced_by) / "words.parquet").to_pylist()
    assert {row["id"] for row in kept if not row["words"]} >= ids
    assert len(kept) == first.summary["rows"]

    grow_older(project.store, 400)
    gone = remove_garbage(find_garbage(project.store, Retention(newest=1, days=30)))
    assert TOY.asset in {item.what for item in gone}
    assert not project.store.has(redaction.replaced_by)
    assert project.store.is_whole(current(project, TOY.asset, TOY.partition))


def test_what_the_schedule_asks_for_is_due_whenever_it_is_out_of_date(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(TOY_ENTRY, partitioned_by="nothing", job="update_results", requested_by="retrain", work=None)
    monkeypatch.setattr(catalog, "CATALOG", catalog.checked((*catalog.CATALOG, entry)))
    key, desired, present = AssetPartition(TOY.asset), desired_states(project), read_current_state(project)
    expected: dict[Status, bool] = {"missing": True, "stale": True, "blocked": False, "waiting": False}
    for status, due in expected.items():
        step = PlanStep(key, status, ("for a reason",), after=(AssetPartition("task_scores"),))
        plan = [one for one in make_plan(desired, present, frozenset(item.key for item in desired)) if one.key != key]
        decision = decide(project, {one.key: one for one in (*plan, step)}, present)
        assert [key in [one.key for one in each.steps] for each in decision.due].count(True) == due
        assert decision.left.get(key) == {"blocked": "for a reason", "waiting": "it waits for task_scores"}.get(status)


def quoting(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> StepResult:
    """A subset that quotes its rows' prompts, as it was never meant to."""
    result = selected_subset.make(project, partition, inputs, out, run)
    prompts = {
        row["id"]: row["prompt"]
        for source in project.settings.sources
        for row in pq.read_table(inputs.folder("raw_tasks", source) / "instances.parquet").to_pylist()
    }
    rows = pq.read_table(out.content / "subset.parquet")
    quoted = pa.array([prompts[id_] for id_ in rows["id"].to_pylist()], pa.string())
    pq.write_table(rows.append_column("quoted", quoted), out.content / "subset.parquet")
    return result


def quoting_catalog(**declared: Any) -> tuple[Asset, ...]:
    entry = catalog.asset(selected_subset.NAME)
    step: Any = SimpleNamespace(
        NAME=selected_subset.NAME, CODE_VERSION="quoting", desired=desired_by_quoting, make=quoting
    )
    rows, budgets = entry.tables
    if declared:
        schema = rows.columns.append(pa.field("quoted", pa.string()))
        rows = Table(rows.path, schema, view=rows.view, **declared)
    new = replace(entry, step=step, files=(rows, budgets))
    return catalog.checked(tuple(new if one is entry else one for one in catalog.CATALOG))


def desired_by_quoting(project: Project, partition: str | None) -> DesiredState:
    return replace(selected_subset.desired(project, partition), code_version="quoting")


def test_a_declared_text_is_redacted_and_one_that_is_not_declared_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = catalog.CATALOG
    monkeypatch.setattr(catalog, "CATALOG", quoting_catalog())
    with pytest.raises(CatalogError, match=r"wrote subset\.parquet with strings in `quoted`, which the"):
        make_all(project)

    monkeypatch.setattr(catalog, "CATALOG", as_it_is)
    monkeypatch.setattr(catalog, "CATALOG", quoting_catalog(texts=frozenset({"quoted"})))
    make_all(project)
    assert any("/selected_subset/" in f"/{path}" for path in files_with(SECRET, project.store.root))
    forget_the_secret(project)
    make_all(project)
    remove_forgotten(project.root, dry_run=False)
    assert files_with(SECRET, project.store.root) == []


def strings_in(kind: pa.DataType) -> bool:
    return any(name in str(kind) for name in ("string", "binary", "dictionary", "utf8"))


def test_every_string_that_a_project_writes_is_declared(past_project: Project, secret_project: Project) -> None:
    seen: dict[str, set[str]] = {}
    for project in (past_project, secret_project):
        for folder in sorted((project.store.root / "artifacts").glob("*/*")):
            asset, attachment = catalog.of_artifact(folder.parent.name)
            asset.require_declared_files(folder, attachment)
            for path in folder.rglob("*.parquet"):
                name = path.relative_to(folder)
                [table] = [
                    one for one in asset.tables if one.attachment == attachment and name.match(one.path.lstrip("*/"))
                ]
                found = {field.name: field.type for field in pq.read_schema(path) if strings_in(field.type)}
                assert found.keys() <= {*table.columns.names}, path
                seen.setdefault(asset.name, set()).add(table.path)
    declared = {
        asset.name: {table.path for table in asset.tables}
        for asset in catalog.assets()
        if any(table.attachment is None for table in asset.tables)
    }
    optional = {
        "*/samples.parquet",  # of lm-eval's tasks
        "prompts.parquet",  # of evaluation sets from outside
        "long_prompts.parquet",
        "same_documents.parquet",  # of long prompts
    }
    assert {name: paths - optional for name, paths in declared.items()} == {
        name: paths - optional for name, paths in seen.items()
    }


def test_steps_are_made_from_what_the_catalog_declares(tmp_path: Path) -> None:
    project = write_project(tmp_path, changes={"contamination": {"similarity": 0.95}})
    made_from: dict[str, set[str]] = {name: set() for name in catalog.names()}
    for state in desired_states(project):
        assert state.problem is None
        made_from[state.key.asset] |= {item.source.asset for item in state.inputs}
    declared = {
        asset.name: {one.asset for one in asset.upstream if one.when(project.settings)} for asset in catalog.assets()
    }
    assert made_from == declared


def test_an_input_that_is_not_declared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path)

    def with_more(project: Project, partition: str | None) -> DesiredState:
        return DesiredState(AssetPartition("task_scores"), (Input(AssetPartition("raw_tasks", "small")),), {}, "1")

    monkeypatch.setattr(task_scores, "desired", with_more)
    with pytest.raises(CatalogError, match="task_scores is made from `raw_tasks`, which its `upstream` does not"):
        desired_states(project)


@pytest.mark.parametrize(
    ("columns", "declared", "told"),
    [
        (pa.schema([]), {"texts": frozenset()}, "declares no columns"),
        (COLUMNS, {"texts": frozenset()}, "has strings in `said`: declare whether they are `texts`"),
        (COLUMNS, {"texts": frozenset({"said", "heard"})}, "declares texts in `heard`, which is none of its columns"),
        (COLUMNS.remove(0), {"texts": frozenset({"said"})}, "does not say of which rows: it has no `id`"),
    ],
    ids=["no columns", "a string that is neither", "a text that is not there", "rows of nobody"],
)
def test_a_table_that_does_not_declare_its_texts_is_refused(
    columns: pa.Schema, declared: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(CatalogError, match=told):
        Table("some.parquet", columns, **declared)
    Table("some.parquet", COLUMNS, texts=frozenset({"said"}))
    with pytest.raises(TypeError, match="texts"):
        Table("some.parquet", COLUMNS)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    "kind",
    [pa.large_string(), pa.list_(pa.string()), pa.struct({"a": pa.binary()}), pa.dictionary(pa.int8(), pa.utf8())],
)
def test_strings_are_found_however_deep(kind: pa.DataType) -> None:
    with pytest.raises(CatalogError, match="has strings in `said`"):
        Table("some.parquet", pa.schema([("id", pa.string()), ("said", kind)]), texts=frozenset())


@pytest.mark.parametrize(
    ("assets", "told"),
    [
        ((*catalog.CATALOG, catalog.CATALOG[0]), "two assets `raw_tasks`"),
        ((TOY_ENTRY, *catalog.CATALOG), "first_words stands before its upstream `raw_tasks`"),
        (
            (*catalog.CATALOG, replace(TOY_ENTRY, files=(replace(TOY_ENTRY.tables[0], view="instances"),))),
            "two tables of the catalog are the view `instances`",
        ),
        ((*catalog.CATALOG, replace(TOY_ENTRY, job="update_results")), "update_results have different partitions"),
    ],
    ids=["twice", "too early", "a view twice", "a job of two partitionings"],
)
def test_a_catalog_that_contradicts_itself_is_refused(assets: tuple[Asset, ...], told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        catalog.checked(assets)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"files": ()}, "declares no files"),
        ({"from_texts": FromTexts("listed", listed_in="rows.parquet")}, "declares no table `rows.parquet`"),
        ({"files": (Array("some.npy", rows_of="rows.parquet"),)}, "declares no table `rows.parquet`"),
    ],
)
def test_an_asset_that_contradicts_itself_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        replace(TOY_ENTRY, **changes)


def test_files_that_nobody_declared_are_refused(tmp_path: Path) -> None:
    entry = replace(TOY_ENTRY, files=(*TOY_ENTRY.files, OtherFiles("*/notes.txt")))
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "notes.txt").touch()
    entry.require_declared_files(tmp_path)
    (tmp_path / "more.txt").touch()
    with pytest.raises(CatalogError, match=r"first_words wrote more\.txt, which the catalog does not declare"):
        entry.require_declared_files(tmp_path)


def test_what_depends_on_settings_follows_them(tmp_path: Path) -> None:
    exact = write_project(tmp_path / "a").settings
    assert catalog.asset("finetuned_checkpoint").upstream_of(exact) == ("selected_subset",), "raw_tasks is looked up in"
    overlap = Upstream(raw_tasks.NAME, when=lambda settings: settings.contamination.exclude)
    entry = replace(TOY_ENTRY, upstream=(overlap,))
    assert entry.upstream_of(exact) == ("raw_tasks",)
    without = write_project(tmp_path / "b", changes={"contamination": {"exclude": False}})
    assert entry.upstream_of(without.settings) == ()
    assert partitions(without, "raw_tasks") == [AssetPartition("raw_tasks", "small")]
    assert PARTITION.count("|") == 1
