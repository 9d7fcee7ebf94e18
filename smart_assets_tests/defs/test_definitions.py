"""The Dagster side: every asset's spec, checks that can fail, executors and their tags, stale settings."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from smart_assets.assets import catalog, raw_tasks
from smart_assets.core.errors import SourceError
from smart_assets.defs.build import build_definitions
from smart_assets.defs.run import RunSummary, run_plan
from smart_assets.planning.graph import closure, find_partitions
from smart_assets.settings import Project, load_project
from smart_assets_tests.support.dagster_runs import Lines, run_check, tamper_table
from smart_assets_tests.support.projects import own_copy, write_project

GPU_ASSETS = {"prompt_embeddings", "similarity_index", "finetuned_checkpoint", "base_model_results", "eval_results"}


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose subsets were made through Dagster."""
    folder = tmp_path_factory.mktemp("made")
    project = write_project(folder)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    only = closure(project, find_partitions(project, ["selected_subset", "similarity_index"]))
    summary = run_plan(project, only, Lines())
    assert not summary.failed
    assert len(summary.made) == 10
    return folder


@pytest.fixture
def project(made_folder: Path, tmp_path: Path) -> Project:
    return own_copy(made_folder, tmp_path)


def specs(project: Project) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in build_definitions(project).resolve_all_asset_specs()}


def test_every_asset_tells_what_it_is(tmp_path: Path) -> None:
    found = specs(write_project(tmp_path))
    assert set(found) == set(catalog.names())
    snapshot = {
        name: {
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "upstream": sorted(dependency.asset_key.to_user_string() for dependency in spec.deps),
            "partitions": len(spec.partitions_def.get_partition_keys()) if spec.partitions_def else None,
        }
        for name, spec in found.items()
    }
    expected = json.loads((Path(__file__).parent / "asset_specs.json").read_text())
    assert snapshot == expected
    for spec in found.values():
        assert len(spec.description or "") > 40
        assert list(spec.owners) == ["team:smart-assets"]
        assert spec.code_version is not None


def test_gpu_assets_declare_pool_and_tags(tmp_path: Path) -> None:
    project = write_project(tmp_path, changes={"device": "auto", "gpu": {"count": 2}})
    for asset in build_definitions(project).resolve_asset_graph().assets_defs:
        name = asset.node_def.name
        if name not in GPU_ASSETS:
            assert not asset.node_def.pools, name
            continue
        assert asset.node_def.pools == {"gpu"}
        assert asset.node_def.tags["dagster-ray/config"] == json.dumps({"num_gpus": 2})


@pytest.mark.parametrize(("device", "limits"), [("cuda:0", {"nvidia.com/gpu": "1"}), ("cpu", None)])
def test_kubernetes_gets_the_gpu_that_an_asset_asks_for(tmp_path: Path, device: str, limits: Any) -> None:
    from dagster_k8s import DagsterK8sJobConfig
    from dagster_k8s.job import construct_dagster_k8s_job, get_user_defined_k8s_config

    project = write_project(tmp_path, changes={"device": device})
    [asset] = [
        asset
        for asset in build_definitions(project).resolve_asset_graph().assets_defs
        if asset.node_def.name == "finetuned_checkpoint"
    ]
    config = DagsterK8sJobConfig(
        job_image="image", dagster_home="/home", instance_config_map="map", postgres_password_secret=None
    )
    job = construct_dagster_k8s_job(
        config, ["dagster"], "step", user_defined_k8s_config=get_user_defined_k8s_config(asset.node_def.tags)
    ).to_dict()
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert (container["resources"] or {}).get("limits") == limits


@pytest.mark.parametrize(
    ("executor", "name"),
    [("in_process", "in_process"), ("multiprocess", "multiprocess"), ("k8s", "k8s"), ("ray", "ray")],
)
def test_the_executor_is_the_one_that_is_set(tmp_path: Path, executor: str, name: str) -> None:
    definitions = build_definitions(write_project(tmp_path, changes={"executor": executor}))
    assert definitions.executor is not None
    assert definitions.executor.name == name


def test_nothing_is_to_do_afterwards(project: Project) -> None:
    only = closure(project, find_partitions(project, ["selected_subset", "similarity_index"]))
    assert run_plan(project, only, Lines()).made == []


def test_a_failure_holds_up_only_what_is_made_from_it(project: Project) -> None:
    text = yaml.safe_load(project.config.read_text())
    text["sources"]["gone"] = {"kind": "folder", "path": "nowhere"}
    text["budgets"] = [10, 9999]
    project.config.write_text(yaml.safe_dump(text))
    project = load_project(project.config)
    only = closure(project, find_partitions(project, ["selected_subset"]))
    summary = run_plan(project, only, Lines())
    assert not summary.made
    assert "nowhere does not exist" in summary.held_up[next(iter(summary.held_up))]
    del text["sources"]["gone"]
    project.config.write_text(yaml.safe_dump(text))
    project = load_project(project.config)
    display = Lines()
    summary = run_plan(project, only, display)
    assert {str(key) for key in summary.failed} == {"selected_subset[9999|smart]", "selected_subset[9999|random]"}
    assert "got 9999" in str(display.errors["selected_subset[9999|smart]"])


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (SourceError("source x: nothing can be used. Repair it."), "source x: nothing can be used. Repair it."),
        (OSError(28, "No space left on device"), "raw_tasks[small] cannot be made: [Errno 28] No space left on device"),
        (KeyError("odd"), "an error of the program, which the UI shows in full: KeyError: 'odd'"),
    ],
    ids=["refused", "disk full", "a bug"],
)
def test_a_failure_is_told_in_a_sentence_alone(
    tmp_path: Path, raised: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(raw_tasks, "make", fail)
    project, display = write_project(tmp_path), Lines()
    summary = run_plan(project, closure(project, find_partitions(project, ["prompt_embeddings"])), display)
    assert display.errors["raw_tasks[small]"] == told
    assert {str(key): reason for key, reason in summary.held_up.items()} == {
        "prompt_embeddings[small]": "raw_tasks[small] is not up to date"
    }
    assert not [line for line in (*display.logged, *display.warned) if "Dagster" in line or "Not executing" in line]


def test_the_page_of_a_failed_run_begins_with_the_sentence(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    (tmp_path / "tasks" / "alpha.jsonl").write_text("not JSON\n")
    for name in ("beta", "gamma"):
        (tmp_path / "tasks" / f"{name}.jsonl").unlink()
    job = build_definitions(project).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        asset_selection=[dg.AssetKey("raw_tasks")], partition_key="small", raise_on_error=False
    )
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.error is not None
    assert failure.error.message.startswith("NotMade: source tasks: none of its 1 rows can be used")


def made_by(project: Project, *targets: str) -> tuple[list[str], RunSummary]:
    summary = run_plan(project, closure(project, find_partitions(project, list(targets))), Lines())
    return [str(key) for key in summary.made], summary


@pytest.mark.parametrize(
    ("asset", "file"),
    [
        ("raw_tasks", "instances.parquet"),
        ("prompt_embeddings", "vectors.npy"),
        ("instance_orderings", "groups.parquet"),
        ("similarity_index", "index.faiss"),
    ],
)
def test_a_damaged_artifact_is_made_again(project: Project, asset: str, file: str) -> None:
    manifest = project.store.current(asset, "small")
    assert manifest is not None
    path = project.store.artifact(manifest) / file
    path.write_bytes(path.read_bytes()[:10])
    made, summary = made_by(project, "selected_subset", "similarity_index")
    assert not summary.failed
    assert made == [f"{asset}[small]"]
    assert project.store.is_whole(manifest)
    assert made_by(project, "selected_subset", "similarity_index")[0] == []


def test_a_source_that_cannot_be_read_leaves_what_is_there_usable(project: Project) -> None:
    shutil.rmtree(project.root / "tasks")
    text = project.config.read_text().replace("- 20\n", "- 20\n- 30\n")
    project.config.write_text(text)
    made, summary = made_by(load_project(project.config), "selected_subset")
    assert made == ["selected_subset[30|smart]", "selected_subset[30|random]"]
    assert [str(key) for key in summary.held_up] == ["raw_tasks[small]"]


def test_runs_of_dead_processes_are_ended(project: Project) -> None:
    from smart_assets.defs.orphans import WORKER_TAG, claim_run, end_orphans

    with dg.instance_for_test() as instance:
        job = build_definitions(project).resolve_implicit_global_asset_job_def()
        runs = [instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED) for _ in range(3)]
        claim_run(instance, runs[0].run_id)
        alive = instance.get_run_by_id(runs[0].run_id)
        assert alive is not None
        node, pid, _ = alive.tags[WORKER_TAG].split(" ")
        instance.add_run_tags(runs[1].run_id, {WORKER_TAG: f"{node} {pid} 1"})  # the id came again
        # A process that ended and that nobody reaped, as in a container whose first process does not care.
        unreaped = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, unreaped.pid, os.WEXITED | os.WNOWAIT)
        started = Path(f"/proc/{unreaped.pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]
        instance.add_run_tags(runs[2].run_id, {WORKER_TAG: f"{node} {unreaped.pid} {started}"})
        assert set(end_orphans(instance)) == {run.run_id for run in runs[1:]}
        statuses = [found.status for run in runs if (found := instance.get_run_by_id(run.run_id)) is not None]
        assert statuses == [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.FAILURE]


def replace_first(table: pa.Table, column: str, value: Any) -> pa.Table:
    values = [value, *table[column].to_pylist()[1:]]
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values, table[column].type))


def held_out_id(project: Project) -> str:
    manifest = project.store.current("raw_tasks", "small")
    assert manifest is not None
    rows = pq.read_table(project.store.artifact(manifest) / "instances.parquet").to_pylist()
    return next(row["id"] for row in rows if row["split"] == "validation")


SUBSET = ("selected_subset", "10|smart", "subset.parquet")
ORDERING = ("instance_orderings", "small", "orderings.parquet")


@pytest.mark.parametrize(
    ("check", "target", "change"),
    [
        pytest.param("budgets_hold", SUBSET, lambda table, _: table.slice(1), id="a-row-less"),
        pytest.param("rows_are_distinct", SUBSET, lambda table, _: pa.concat_tables([table, table[:1]]), id="twice"),
        pytest.param(
            "no_evaluation_text",
            SUBSET,
            lambda table, project: replace_first(table, "id", held_out_id(project)),
            id="held-out",
        ),
        pytest.param("orderings_reproduce", ORDERING, lambda table, _: table.slice(1), id="a-pick-less"),
        pytest.param("orderings_reproduce", ORDERING, lambda table, _: replace_first(table, "gain", 0.5), id="gain"),
    ],
)
def test_a_check_fails_on_what_it_is_there_for(
    project: Project, check: str, target: tuple[str, str, str], change: Any
) -> None:
    asset, partition, file = target
    assert run_check(project, check, asset, partition).passed
    tamper_table(project.store, asset, partition, file, lambda table: change(table, project))
    evaluation = run_check(project, check, asset, partition)
    assert not evaluation.passed
    assert evaluation.blocking
    assert evaluation.description


def test_vectors_that_are_not_unit_fail_their_check(project: Project) -> None:
    manifest = project.store.current("prompt_embeddings", "small")
    assert manifest is not None
    path = project.store.artifact(manifest) / "vectors.npy"
    vectors = np.load(path)
    assert run_check(project, "vectors_are_unit", "prompt_embeddings", "small").passed
    vectors[0, 0] = np.nan
    np.save(path, vectors)
    assert (
        run_check(project, "vectors_are_unit", "prompt_embeddings", "small").description
        == "1 vectors are not of length 1"
    )


def test_a_run_under_changed_settings_is_refused(project: Project) -> None:
    definitions = build_definitions(project)
    with project.config.open("a") as stream:
        stream.write("# a change\n")
    result = dg.materialize(
        definitions.assets,  # type: ignore[arg-type]
        selection=["selected_subset"],
        partition_key="10|smart",
        instance=dg.DagsterInstance.ephemeral(),
        resources=dict(definitions.resources or {}),
        raise_on_error=False,
    )
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "reload the code location" in failure.step_failure_data.user_failure_data.description
    sensor = next(one for one in definitions.sensors or [] if one.name == "upkeep")
    with pytest.raises(Exception, match="reload the code location"):
        sensor(dg.build_sensor_context(instance=dg.DagsterInstance.ephemeral(), definitions=definitions))


def test_a_run_worker_knows_which_settings_the_code_location_was_loaded_from(project: Project) -> None:
    program = "import smart_assets.definitions as d; print(d._project.settings_version == d._loaded)"
    environment = {**os.environ, "SMART_CONFIG": str(project.config)}
    stale = {**environment, "SMART_LOADED_SETTINGS": "of an earlier load"}
    for env, expected in ((environment, "True"), (stale, "False")):
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("schedule", [None, "0 3 * * *"])
def test_the_code_location_loads_whole(tmp_path: Path, schedule: str | None) -> None:
    """Dagster resolves jobs, sensors and schedules only when it loads a repository."""
    project = write_project(tmp_path, changes={"automation": {"retrain": schedule}})
    dg.Definitions.validate_loadable(build_definitions(project))
    build_definitions(project).get_repository_def().load_all_definitions()


def test_definitions_load_without_heavy_imports(project: Project) -> None:
    program = (
        "import sys, smart_assets.definitions\n"
        "print([name for name in ('torch', 'transformers', 'ray', 'lm_eval', 'faiss', 'submodlib', 'matplotlib', "
        "'datasets', 'sentence_transformers') if name in sys.modules])"
    )
    environment = {**os.environ, "SMART_CONFIG": str(project.config)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
