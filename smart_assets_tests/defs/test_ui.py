"""The Dagster UI in headless Chromium: the graph opens, a partition is materialized, changed settings are refused."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.tiny_model import make_tiny_model

pytestmark = pytest.mark.browser
PARTITION = "10|smart"


@pytest.fixture(scope="module")
def chromium() -> str:
    """Debian's Chromium, installed where it is missing and this user may install it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=True, env=environment)
        found = shutil.which("chromium")
    if found is None:
        pytest.fail("chromium is missing and cannot be installed by this user: `apt-get install chromium`")
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[str, Path]]:
    """`smart dev` on a small project whose sources and scores are made; gives its address and folder."""
    root = tmp_path_factory.mktemp("project")
    make_tiny_model(root / "model", chat=True)
    project = write_project(root, changes={"finetune": {"base_model": "model", "epochs": 1000}})
    smart = Path(sys.executable).with_name("smart")
    upstream = ["instance_orderings", "task_scores", "evaluation_overlap"]
    for name in upstream:
        subprocess.run([smart, "run", "--config", project.root, "--select", name], check=True)
    port = free_port()
    server = subprocess.Popen(
        [smart, "dev", "--config", project.root, "--port", str(port)], start_new_session=True, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: graphql(address, "{ version }") is not None, 90)
        yield address, project.root
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def wait_until(done: Any, seconds: float) -> Any:
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        try:
            value = done()
        except OSError:
            value = None
        if value:
            return value
        time.sleep(0.5)
    pytest.fail(f"not within {seconds} s")


def graphql(address: str, query: str, variables: dict[str, Any] | None = None) -> Any:
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)["data"]


RUNS = "{ runsOrError { ... on Runs { results { runId status } } } }"


def newest_run(address: str) -> dict[str, str] | None:
    runs = graphql(address, RUNS)["runsOrError"]["results"]
    return runs[0] if runs else None


def finished_run(address: str, but: str | None) -> dict[str, str] | None:
    run = newest_run(address)
    done = run is not None and run["runId"] != but and run["status"] in ("SUCCESS", "FAILURE", "CANCELED")
    return run if done else None


def run_by_hand(chromium: str, address: str, tmp_path: Path) -> dict[str, str]:
    """Open the graph, then materialize one partition of `selected_subset` by the buttons that a person uses."""
    from playwright.sync_api import sync_playwright

    before = newest_run(address)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{address}/asset-groups")
        page.get_by_text("selection", exact=True).first.wait_for()
        page.keyboard.press("Alt+KeyE")  # expands all groups
        for asset in ("raw_tasks", "selected_subset", "mixture_report"):
            page.get_by_text(asset, exact=True).first.wait_for()
        page.screenshot(path=tmp_path / "graph.png")
        page.goto(f"{address}/assets/selected_subset?view=partitions&partition={PARTITION.replace('|', '%7C')}")
        page.get_by_role("button", name="Materialize").first.click()
        page.get_by_role("button", name="Launch 1 run").click()
        run = wait_until(lambda: finished_run(address, before["runId"] if before else None), 120)
        page.goto(f"{address}/runs/{run['runId']}")
        page.get_by_text("RUN_SUCCESS" if run["status"] == "SUCCESS" else "RUN_FAILURE").first.wait_for()
        page.screenshot(path=tmp_path / "run.png")
        browser.close()
    return run


def test_a_partition_is_materialized_by_hand(chromium: str, dagster: tuple[str, Path], tmp_path: Path) -> None:
    address, root = dagster
    assert run_by_hand(chromium, address, tmp_path)["status"] == "SUCCESS"
    folder = root / ".smart" / "manifests" / "selected_subset" / "10%7Csmart"
    assert len(list(folder.glob("*.json"))) == 1


STATE = """{ assetNodeOrError(assetKey: {path: ["selected_subset"]}) { ... on AssetNode {
    staleStatus(partition: "10|smart")
    assetMaterializations(partitions: ["10|smart"], limit: 1) { metadataEntries { label
        ... on BoolMetadataEntry { boolValue } } } } } }"""


def test_by_hand_again_nothing_is_made_and_it_is_fresh(
    chromium: str, dagster: tuple[str, Path], tmp_path: Path
) -> None:
    address, root = dagster
    assert run_by_hand(chromium, address, tmp_path)["status"] == "SUCCESS"
    folder = root / ".smart" / "manifests" / "selected_subset" / "10%7Csmart"
    assert len(list(folder.glob("*.json"))) == 1
    found = graphql(address, STATE)["assetNodeOrError"]
    assert found["staleStatus"] == "FRESH"
    [newest] = found["assetMaterializations"]
    assert {"label": "unchanged", "boolValue": True} in newest["metadataEntries"]


EVENTS = """query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
    ... on ExecutionStepFailureEvent { failureMetadata { description } } } } } }"""


def test_a_run_under_changed_settings_is_refused(chromium: str, dagster: tuple[str, Path], tmp_path: Path) -> None:
    address, root = dagster
    with (root / "smart.yaml").open("a") as stream:
        stream.write("# changed while the UI runs\n")
    run = run_by_hand(chromium, address, tmp_path)
    assert run["status"] == "FAILURE"
    events = graphql(address, EVENTS, {"run": run["runId"]})["logsForRun"]["events"]
    [told] = [event["failureMetadata"]["description"] for event in events if event.get("failureMetadata")]
    assert "changed after it was loaded" in told
    assert "reload the code location" in told
    assert graphql(
        address,
        'mutation { reloadRepositoryLocation(repositoryLocationName: "smart_assets.definitions") { __typename } }',
    )
    assert run_by_hand(chromium, address, tmp_path)["status"] == "SUCCESS"


SENSOR = """{repositoryName: "__repository__", repositoryLocationName: "smart_assets.definitions",
    sensorName: "task_sources"}"""
TICKS = f"""{{ sensorOrError(sensorSelector: {SENSOR}) {{ ... on Sensor {{ sensorState {{ id status
    ticks(limit: 1) {{ status skipReason runIds }} }} }} }} }}"""


def test_the_sensor_can_be_switched_on_says_what_it_saw_and_off(dagster: tuple[str, Path]) -> None:
    address, _ = dagster

    def state() -> Any:
        return graphql(address, TICKS)["sensorOrError"]["sensorState"]

    started = graphql(address, f"mutation {{ startSensor(sensorSelector: {SENSOR}) {{ __typename }} }}")
    assert started["startSensor"]["__typename"] == "Sensor"
    wait_until(lambda: [tick for tick in state()["ticks"] if tick["status"] in ("SUCCESS", "SKIPPED")], 90)
    [tick] = state()["ticks"]
    assert tick["runIds"] or tick["skipReason"]
    graphql(address, f'mutation {{ stopSensor(id: "{state()["id"]}") {{ __typename }} }}')
    assert state()["status"] == "STOPPED"


LAUNCH = """mutation($run: ExecutionParams!) { launchPipelineExecution(executionParams: $run) {
    ... on LaunchRunSuccess { run { runId } } } }"""
LOGGED = """query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
    ... on LogMessageEvent { message } } } } }"""


def launch(address: str, assets: list[str]) -> str:
    budget, recipe = PARTITION.split("|")
    partition = {"dagster/partition": PARTITION, "dagster/partition/budget": budget, "dagster/partition/recipe": recipe}
    run = {
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": "smart_assets.definitions",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [asset]} for asset in assets],
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in partition.items()]},
    }
    return graphql(address, LAUNCH, {"run": run})["launchPipelineExecution"]["run"]["runId"]


def trains(root: Path) -> bool:
    """Whether a training program of a project is at work; one that nobody reaped has no command line any more."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:  # it ended in between
            continue
        if b"smart_assets.training" in command and str(root).encode() in command:
            return True
    return False


def test_terminating_a_run_ends_its_training(chromium: str, dagster: tuple[str, Path], tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    address, root = dagster
    run = launch(address, ["selected_subset", "finetuned_checkpoint"])

    def under_way() -> bool:
        events = graphql(address, LOGGED, {"run": run})["logsForRun"]["events"]
        return any(event.get("message", "").startswith("step ") for event in events)

    wait_until(under_way, 180)
    assert trains(root)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{address}/runs/{run}")
        page.get_by_role("button", name="Terminate").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Terminate 1 run").click()
        wait_until(lambda: not trains(root), 30)
        browser.close()
    ended = wait_until(lambda: finished_run(address, None), 60)
    assert ended == {"runId": run, "status": "CANCELED"}
    assert not list((root / ".smart" / "manifests").glob("finetuned_checkpoint/*/*"))
