"""Two processes train what one trains: the program starts them itself from a job that asks for two."""

import json
import os
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from smart_assets.training.distributed import torchrun_command
from smart_assets.training.finetune import finetune
from smart_assets.training.job import TrainingJob
from smart_assets_tests.support.tiny_model import make_tiny_model
from smart_assets_tests.support.training_jobs import await_first_step, start, write_job


def job_of(folder: Path, processes: int, rows: int = 22, **settings: object) -> Path:
    folder.mkdir()
    make_tiny_model(folder / "model", chat=True)
    # 22 rows in steps of 8: the last one has fewer rows than some step of two processes has places.
    settings = {"epochs": 1, "effective_batch": 8, "micro_batch": 1, "precision": "float32"} | settings
    path = write_job(folder, rows=rows, **settings)
    TrainingJob.read(path).model_copy(update={"processes": processes}).write(path)
    return path


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    alone, together = job_of(tmp_path / "alone", 1), job_of(tmp_path / "together", 2)
    finetune(TrainingJob.read(alone), lambda line: None)
    _, told = (program := start(together)).communicate(timeout=180)
    assert program.returncode == 0, told
    assert told.count("step 1/3  loss ") == 1  # one process reports
    outs = [TrainingJob.read(path).out for path in (alone, together)]
    curves = [pq.read_table(out / "loss.parquet").to_pydict() for out in outs]
    assert curves[0]["tokens"] == curves[1]["tokens"]
    assert curves[1]["loss"] == pytest.approx(curves[0]["loss"], rel=1e-5)
    weights = [load_file(out / "model" / "model.safetensors") for out in outs]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=1e-4, atol=1e-5)
    assert [json.loads((out / "result.json").read_text())["processes"] for out in outs] == [1, 2]
    assert os.listdir(outs[1].parent) == ["out"]


@pytest.mark.slow
def test_ended_from_outside_all_end_and_go_on_later(tmp_path: Path) -> None:
    path = job_of(tmp_path / "job", 2, rows=32, epochs=2, save_minutes=0)
    program = start(path)
    await_first_step(program)
    assert program.stderr is not None
    while not any((tmp_path / "job" / "results" / "out.steps").glob("step-*")):
        assert program.poll() is None
        time.sleep(0.02)
    program.send_signal(signal.SIGTERM)
    program.stderr.read()  # ends when the last process that holds the pipe has ended
    assert program.wait(timeout=10) != 0
    _, told = (again := start(path)).communicate(timeout=180)
    assert again.returncode == 0, told
    assert "going on from saved step" in told


def test_an_error_of_several_processes_is_told_once(tmp_path: Path) -> None:
    path = job_of(tmp_path / "job", 2)
    TrainingJob.read(path).model_copy(update={"rows": tmp_path / "nowhere.parquet"}).write(path)
    program = start(path)
    program.communicate(timeout=120)
    assert program.returncode != 0
    assert (tmp_path / "job" / "results" / "out.error.txt").read_text().count("there is no such file") == 1


def test_the_command_names_module_and_processes() -> None:
    command = torchrun_command("smart_assets.training", ["job.json"], 4)
    assert command[1:] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "-m", "smart_assets.training", "job.json",
    ]  # fmt: skip
