"""Remembered answers: a repeated evaluation asks the model nothing, and nothing it writes tells that it remembered."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from smart_assets.evaluation import evaluate as program
from smart_assets.evaluation.answer_cache import AnswerCache
from smart_assets.evaluation.evaluate import evaluate
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import answers_file
from smart_assets_tests.support.evaluation_tasks import (
    CHOICE,
    WRITTEN,
    evaluation_job,
    write_collection,
    write_questions,
    write_rows,
    write_task,
)
from smart_assets_tests.support.tiny_model import make_tiny_model

FILES = ["metrics.parquet", "result.json", "rows.parquet", "samples.parquet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    make_tiny_model(folder / "model", chat=True)
    make_tiny_model(folder / "other", chat=True, seed=1)
    write_rows(folder / "rows.parquet", 6)
    write_collection(folder / "collection")
    write_questions(folder / "rows.jsonl", 6)
    (folder / "tasks").mkdir()
    write_task(folder / "tasks", "choice", folder / "rows.jsonl", CHOICE)
    write_task(folder / "tasks", "written", folder / "rows.jsonl", WRITTEN)
    return folder


def make_job(folder: Path, out: Path, /, **changes: Any) -> EvaluationJob:
    settings = {
        "collections": {"small": {"path": str(folder / "collection")}},
        "tasks": ["choice", "written"],
        "include_path": str(folder / "tasks"),
        "batch_size": 4,
        "generate": {"rows_per_task": 2, "max_tokens": 6},
        **changes.pop("evaluate", {}),
    }
    return evaluation_job(folder, out, settings, **{"rows": folder / "rows.parquet", **changes})


def content(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in FILES]


def batches(out: Path) -> dict[str, int]:
    return json.loads((out / "timing.json").read_text())["batches"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every call of the network, in evaluations from now on."""
    found: list[int] = []
    load = program.load_language_model

    def watched(*arguments: Any) -> Any:
        model = load(*arguments)
        model.lm.model.register_forward_hook(lambda *_: found.append(1))
        return model

    monkeypatch.setattr(program, "load_language_model", watched)
    return found


def test_a_repeated_evaluation_asks_the_model_nothing(folder: Path, tmp_path: Path, calls: list[int]) -> None:
    evaluate(make_job(folder, tmp_path / "without"), print)
    asked = len(calls)
    assert asked > 10
    evaluate(make_job(folder, tmp_path / "first", cache=tmp_path / "cache"), print)
    assert len(calls) == 2 * asked
    evaluate(make_job(folder, tmp_path / "second", cache=tmp_path / "cache"), print)
    assert len(calls) == 2 * asked
    assert content(tmp_path / "first") == content(tmp_path / "second") == content(tmp_path / "without")
    computed = batches(tmp_path / "first")["computed"]
    assert batches(tmp_path / "second") == {"computed": 0, "remembered": computed}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model": "other"}, id="weights"),
        pytest.param({"max_length": 128}, id="window"),
        pytest.param({"prompt_format": "plain"}, id="prompts"),
        pytest.param({"precision": "bfloat16"}, id="precision"),
        pytest.param({"evaluate": {"batch_size": 3}}, id="batches"),
    ],
)
def test_another_model_is_asked_anew(folder: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    few: dict[str, Any] = {"tasks": [], "collections": {}}
    cache = tmp_path / "cache"
    evaluate(make_job(folder, tmp_path / "first", cache=cache, evaluate=few), print)
    fields = {**changes, "evaluate": {**few, **changes.get("evaluate", {})}}
    if "model" in fields:
        fields["model"] = folder / fields["model"]
    evaluate(make_job(folder, tmp_path / "second", cache=cache, **fields), print)
    assert batches(tmp_path / "second")["remembered"] == 0


def test_every_small_file_of_a_model_counts(folder: Path, tmp_path: Path) -> None:
    """Its config, tokenizer and template decide what is asked and answered as its weights do."""
    few: dict[str, Any] = {"tasks": [], "collections": {}, "max_rows_per_task": 1}
    model, cache = tmp_path / "model", tmp_path / "cache"
    shutil.copytree(folder / "model", model)
    small = sorted(path.name for path in model.iterdir() if path.suffix != ".safetensors")
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= set(small)
    evaluate(make_job(folder, tmp_path / "as it was", cache=cache, evaluate=few, model=model), print)
    for name in small:
        before = (model / name).read_bytes()
        (model / name).write_bytes(before + b"\n")
        evaluate(make_job(folder, tmp_path / name, cache=cache, evaluate=few, model=model), print)
        assert batches(tmp_path / name)["remembered"] == 0, name
        (model / name).write_bytes(before)
    evaluate(make_job(folder, tmp_path / "as it is", cache=cache, evaluate=few, model=model), print)
    assert batches(tmp_path / "as it is")["computed"] == 0


def test_a_killed_evaluation_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    job = make_job(folder, tmp_path / "out", cache=tmp_path / "cache", evaluate={"batch_size": 1})
    job.write(tmp_path / "job.json")
    command = [sys.executable, "-m", "smart_assets.evaluation", str(tmp_path / "job.json")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        while process.poll() is None and answered(tmp_path / "cache") < 3:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    before = answered(tmp_path / "cache")
    assert before >= 3
    evaluate(job.model_copy(update={"out": tmp_path / "resumed"}), print)
    evaluate(job.model_copy(update={"out": tmp_path / "whole", "cache": None}), print)
    assert content(tmp_path / "resumed") == content(tmp_path / "whole")
    assert batches(tmp_path / "resumed")["remembered"] == before
    assert batches(tmp_path / "whole") == {"computed": sum(batches(tmp_path / "resumed").values()), "remembered": 0}


def answered(cache: Path) -> int:
    for file in cache.glob("*.sqlite"):
        connection = sqlite3.connect(file, timeout=10)
        try:
            return connection.execute("SELECT count(*) FROM answers").fetchone()[0]
        except sqlite3.OperationalError:  # its table is not made yet
            return 0
        finally:
            connection.close()
    return 0


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a" / "b.sqlite", print)
    answers = [[-0.1 - 1e-17, True], [float("-inf"), False], ["\x00 ä 🙂", None]]
    assert cache.recall(["x", [1]]) is None
    cache.remember(["x", [1]], answers)
    assert AnswerCache(tmp_path / "a" / "b.sqlite", print).recall(["x", [1]]) == answers
    assert cache.recall(["x", [2]]) is None


def test_two_at_once_do_not_harm_each_other(tmp_path: Path) -> None:
    lines: list[str] = []

    def work(number: int) -> None:
        cache = AnswerCache(tmp_path / "a.sqlite", lines.append)
        for at in range(30):
            cache.remember([at], [at])
            cache.remember([number, at], [number])
        cache.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache = AnswerCache(tmp_path / "a.sqlite", lines.append)
    assert all(cache.recall([at]) == [at] for at in range(30))
    assert all(cache.recall([number, at]) == [number] for number in range(3) for at in range(30))
    assert lines == []


def damaged_value(file: Path) -> None:
    cache = AnswerCache(file, print)
    cache.remember(["x"], [1])
    cache.close()
    connection = sqlite3.connect(file)
    connection.execute("UPDATE answers SET answers = '{'")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        pytest.param(lambda file: file.write_bytes(b"no database " * 100), ["is damaged"], id="no database"),
        pytest.param(lambda file: file.mkdir(), ["cannot be used"], id="a folder"),
        pytest.param(damaged_value, [], id="no JSON"),
    ],
)
def test_what_is_wrong_with_the_file_only_costs_time(tmp_path: Path, harm: Any, told: list[str]) -> None:
    harm(tmp_path / "a.sqlite")
    lines: list[str] = []
    cache = AnswerCache(tmp_path / "a.sqlite", lines.append)
    assert cache.recall(["x"]) is None
    cache.remember(["x"], [2])
    assert len(lines) == len(told)
    assert all(part in line for part, line in zip(told, lines, strict=True))


def test_a_file_harmed_while_in_use_is_let_go(tmp_path: Path) -> None:
    lines: list[str] = []
    cache = AnswerCache(tmp_path / "a.sqlite", lines.append)
    for at in range(200):
        cache.remember([at], ["x" * 100])
    (tmp_path / "a.sqlite").write_bytes(b"\x00" * 50_000)
    assert cache.recall([3]) is None
    cache.remember([3], [3])
    assert len(lines) == 1
    assert "is not remembered from here on" in lines[0]


def test_reading_counts_as_use(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    AnswerCache(file, print).close()
    os.utime(file, (0, 0))
    AnswerCache(file, print).close()
    assert file.stat().st_mtime > 1e9


def _files(folder: Path) -> Path:
    """A model's weights and small files, and an adapter's."""
    for name in ("model.safetensors", "config.json", "tokenizer.json", "adapter/adapter_config.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


IDENTITY: dict[str, str | int | None] = {
    "weights_sha256": "w", "adapter_sha256": "a", "precision": "float32", "max_length": None, "device": "cpu",
}  # fmt: skip


def test_each_thing_that_decides_an_answer_names_the_file_of_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval
    import torch
    import transformers

    model = _files(tmp_path / "model")
    job = make_job(
        tmp_path,
        tmp_path / "out",
        cache=tmp_path / "cache",
        adapter=model / "adapter",
        model=None,
        base_model=str(model),
    )

    def name(identity: dict[str, Any] = IDENTITY, **changes: Any) -> str:
        path = answers_file(job.model_copy(update=changes), model, identity)
        assert path is not None
        return path.name

    before = name()
    assert name({**IDENTITY, "reference": "the same under another name", "revision": "r"}) == before
    (model / "model.safetensors").write_text("its sha256 is in the identity")
    assert name() == before
    names = [before, name(prompt_format="plain")]
    names += [name({**IDENTITY, field: "another"}) for field in IDENTITY]
    for package in (lm_eval, torch, transformers):
        with monkeypatch.context() as patched:
            patched.setattr(package, "__version__", "0")
            names.append(name())
    for file in ("config.json", "tokenizer.json", "adapter/adapter_config.json"):
        (model / file).write_text('{"another": true}')
        names.append(name())
        (model / file).write_text("{}")
    assert name() == before
    assert len(set(names)) == len(names)
