"""One step on a local Ray cluster: `executor: ray` hands it over, with the tags of its asset."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from smart_assets_tests.support.projects import write_project

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def ray_address() -> Generator[str]:
    """A Ray head of one node; gives the address that takes jobs."""
    folder = tempfile.mkdtemp(prefix="ray")  # pytest's own folders are too long for the sockets in it
    port, dashboard = free_port(), free_port()
    environment = {
        **os.environ,
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # workers start `dagster` by name
    }
    command = [BIN / "ray", "start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=true"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--temp-dir={folder}"]
    output, address = Path(folder) / "output", f"http://127.0.0.1:{dashboard}"
    try:
        for _ in range(3):  # where a machine has much to do, Ray gives up after half a minute
            with output.open("a") as stream:
                head = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
            try:
                if takes_jobs(address, head):
                    yield address
                    return
            finally:
                end(head)
        raise AssertionError(f"Ray does not start: {output.read_text()[-3000:]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def takes_jobs(address: str, head: subprocess.Popen[bytes]) -> bool:
    """Wait until a head takes a job; what runs it comes up some seconds after what answers. False where it ends."""
    from ray.job_submission import JobSubmissionClient

    while head.poll() is None:
        try:
            JobSubmissionClient(address).submit_job(entrypoint="true")
        except (OSError, RuntimeError):
            time.sleep(0.5)
        else:
            return True
    return False


def end(head: subprocess.Popen[bytes]) -> None:
    """End a head and all that it started; `ray stop` would end every cluster of the machine."""
    head.terminate()
    with suppress(subprocess.TimeoutExpired):
        head.wait(30)
    with suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)


def test_a_step_runs_on_ray(tmp_path: Path, ray_address: str) -> None:
    project = write_project(tmp_path / "project", changes={"executor": "ray"})
    environment = {
        **os.environ,
        "SMART_CONFIG": str(project.config),
        "DAGSTER_HOME": str(project.root),
        "RAY_ADDRESS": ray_address,
    }
    (project.root / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    command = [BIN / "dagster", "asset", "materialize", "--select", "raw_tasks", "--partition", "small"]
    done = subprocess.run(
        [*command, "-m", "smart_assets.definitions"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Ray job" in done.stderr
    [manifest] = (project.root / ".smart" / "manifests" / "raw_tasks" / "small").glob("*.json")
    assert json.loads(manifest.read_text())["summary"]["rows"] == 77
