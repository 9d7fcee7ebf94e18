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

from smart_assets_tests.projects import write_project

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
    project = write_project(tmp_path_factory.mktemp("project"))
    smart = Path(sys.executable).with_name("smart")
    upstream = ["instance_orderings", "task_scores"]
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


def materialize(page: Any, address: str, partition: str) -> None:
    """Materialize one partition of `selected_subset` as a person does it: by the button of the asset's page."""
    page.goto(f"{address}/assets/selected_subset?view=partitions&partition={partition.replace('|', '%7C')}")
    page.get_by_role("button", name="Materialize", exact=False).first.click(timeout=60_000)
    dialog = page.get_by_role("dialog")
    dialog.wait_for(timeout=60_000)
    launch = dialog.get_by_role("button", name="Launch", exact=False).first
    launch.click(timeout=60_000)


def test_a_partition_is_materialized_from_the_graph(chromium: str, dagster: tuple[str, Path], tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    address, root = dagster
    before = newest_run(address)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.goto(f"{address}/asset-groups")
        for asset in ("raw_tasks", "selected_subset", "mixture_report"):
            page.get_by_text(asset, exact=True).first.wait_for(timeout=60_000)
        page.screenshot(path=tmp_path / "graph.png")
        materialize(page, address, PARTITION)
        run = wait_until(lambda: finished_run(address, before["runId"] if before else None), 120)
        assert run["status"] == "SUCCESS"
        page.goto(f"{address}/assets/selected_subset?view=partitions&partition={PARTITION.replace('|', '%7C')}")
        page.get_by_text("content version").first.wait_for(timeout=60_000)
        browser.close()
    manifests = list((root / ".smart" / "manifests" / "selected_subset" / "10%7Csmart").glob("*.json"))
    assert len(manifests) == 1
