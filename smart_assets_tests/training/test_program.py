import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from smart_assets.training.job import TrainingJob
from smart_assets_tests.support.tiny_model import make_tiny_model
from smart_assets_tests.support.training_jobs import PROGRAM, ROOT, await_first_step, start, write_job


def test_the_program_trains_and_tells_its_progress(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "model", chat=True)
    program = start(write_job(tmp_path, rows=16))
    _, told = program.communicate(timeout=120)
    assert program.returncode == 0, told
    assert "16 rows to train on" in told
    assert "step 1/1  loss " in told
    assert "tokens/s" in told
    out = tmp_path / "results" / "out"
    files = ["loss.parquet", "model", "result.json", "tensorboard", "timing.json"]
    assert sorted(path.name for path in out.iterdir()) == files
    assert json.loads((out / "result.json").read_text())["rows"] == 16


@pytest.mark.slow  # `test_end_to_end` sees the same in a whole run
def test_started_by_dagster_its_progress_reaches_the_run(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "model", chat=True)
    job = write_job(tmp_path, rows=16)

    @dg.asset
    def trained(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        client = dg.PipesSubprocessClient(env={"OMP_NUM_THREADS": "1"}, cwd=str(ROOT))
        return client.run(command=[*PROGRAM, str(job)], context=context).get_materialize_result()

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([trained], instance=instance)
        told = [entry.user_message for entry in instance.all_logs(run.run_id)]
    assert any(line.startswith("step 1/1  loss ") for line in told)


def test_an_error_is_one_line_here_and_beside_the_result(tmp_path: Path) -> None:
    program = start(write_job(tmp_path, rows=16))
    _, told = program.communicate(timeout=120)
    assert program.returncode == 1
    message = told.splitlines()[-1]
    assert message.startswith("error: base_model ")
    assert "Traceback" not in told
    assert (tmp_path / "results" / "out.error.txt").read_text() == message.removeprefix("error: ") + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "breaks the rules of TrainingJob: job: Invalid JSON", id="not JSON"),
        pytest.param('{"device": "tpu"}', "device: String should match pattern", id="bad field"),
        pytest.param(None, "the job cannot be read", id="missing"),
    ],
)
def test_bad_jobs_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "job.json").write_text(text)
    _, told = (program := start(tmp_path / "job.json")).communicate(timeout=60)
    assert program.returncode == 1
    assert message in told


def test_without_a_job_the_program_says_what_it_needs() -> None:
    done = subprocess.run(PROGRAM, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "exactly one argument is needed: the job's JSON file\n")


def test_a_missing_gpu_is_named(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "model", chat=True)
    job = TrainingJob.read(write_job(tmp_path, rows=16)).model_copy(update={"device": "cuda:77"})
    job.write(tmp_path / "job.json")
    _, told = (program := start(tmp_path / "job.json")).communicate(timeout=120)
    assert program.returncode == 1
    assert "device 'cuda:77': torch sees no such GPU" in told


# The second is what Dagster sends.
@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_terminated_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    make_tiny_model(tmp_path / "model", chat=True)
    program = start(write_job(tmp_path, rows=64, epochs=1000, effective_batch=8))
    await_first_step(program)
    assert os.listdir(tmp_path / "results") == ["out.steps"]
    program.send_signal(number)
    _, told = program.communicate(timeout=60)
    assert program.returncode == 128 + number
    assert "Traceback" not in told
    assert os.listdir(tmp_path / "results") == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "model", chat=True)
    job = write_job(tmp_path, rows=64, epochs=1000, effective_batch=8)
    script = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *PROGRAM, str(job)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    await_first_step(parent)
    parent.kill()
    assert parent.stderr is not None
    parent.stderr.read()  # ends when the last process that holds the pipe has ended
    assert os.listdir(tmp_path / "results") == []
    parent.wait()
