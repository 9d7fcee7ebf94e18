"""Collections that are only evaluated on, ranked choices, and answers in the model's own words."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer

from smart_assets.assets.programs.evaluate_model import evaluation_parameters
from smart_assets.core.errors import SettingsError, SmartError
from smart_assets.evaluation.evaluate import evaluate
from smart_assets.evaluation.generation import rows_to_write
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import LanguageModel, load_language_model
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.evaluation.rows import Benchmark, prepare_rows
from smart_assets.evaluation.scoring import score_rows
from smart_assets.evaluation.settings import Generate
from smart_assets.settings import load_project
from smart_assets.training.formatting import ChatInstance
from smart_assets_tests.support.evaluation_tasks import LONG, evaluation_job, write_collection
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.row_encoders import pair_of
from smart_assets_tests.support.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collections")
    make_tiny_model(folder / "model", chat=True)
    write_collection(folder / "small")
    return folder


def make_job(folder: Path, out: Path, **settings: Any) -> EvaluationJob:
    evaluate = {"held_out": False, "collections": {"small": {"path": str(folder / "small")}}, **settings}
    return evaluation_job(folder, out, evaluate)


def run(job: EvaluationJob) -> tuple[list[dict[str, Any]], dict[tuple[str, str], tuple[float, int]], dict[str, Any]]:
    lines: list[str] = []
    evaluate(job, lines.append)
    rows = pq.read_table(job.out / "rows.parquet").to_pylist()
    metrics = pq.read_table(job.out / "metrics.parquet").to_pylist()
    figures = {(one["task"], one["metric"]): (one["value"], one["rows"]) for one in metrics}
    assert {one["benchmark"] for one in [*rows, *metrics]} == {"small"}
    assert not any(LONG in line for line in lines)
    return rows, figures, json.loads((job.out / "result.json").read_text())


def test_a_collection_is_evaluated_like_held_out_rows(folder: Path, tmp_path: Path) -> None:
    rows, figures, result = run(make_job(folder, tmp_path / "out", generate={"rows_per_task": 2, "max_tokens": 5}))
    assert [row["task"] for row in rows] == ["choice"] * 12 + ["long"] * 3
    assert {metric for task, metric in figures if task == "choice"} == {
        "acc",
        "acc_norm",
        "accuracy",
        "exact_match",
        "response_loss",
        "response_loss_per_byte",
    }
    assert figures["long", "rouge_l"][1] == 2
    assert ("long", "accuracy") not in figures
    assert result["choices"] == {"small": {"choice": 2}}
    assert result["tasks"] == {"small": {"choice": 12, "long": 3}}
    assert result["macro_means"]["small"]["unseen"] == result["macro_means"]["small"]["all"]
    recorded = result["collections"]["small"]
    assert recorded["files"].keys() == {"choice.jsonl", "long.jsonl"}
    assert recorded["rows"] == 15
    assert recorded["rejected"]["rows"] == 2
    assert [(row["file"], row["line"]) for row in recorded["rejected"]["first"]] == [
        ("choice.jsonl", 13),
        ("long.jsonl", 4),
    ]
    assert str(folder) not in json.dumps(result)
    assert LONG not in json.dumps(result)


def test_what_is_switched_off_costs_nothing(folder: Path, tmp_path: Path) -> None:
    rows, figures, result = run(make_job(folder, tmp_path / "out", choices=False, generate={"rows_per_task": 0}))
    assert {metric for _, metric in figures} == {"exact_match", "response_loss", "response_loss_per_byte"}
    assert {(row["prediction"], row["rouge_l"], row["choice_correct"]) for row in rows} == {(None, None, None)}
    assert result["choices"] == {"small": {}}


@pytest.mark.parametrize(
    ("settings", "own", "expected"),
    [
        pytest.param({"max_rows_per_task": 2}, None, 4, id="of all"),
        pytest.param({"max_rows_per_task": 2}, 1, 2, id="its own"),
        pytest.param({}, 5, 8, id="its own alone"),
    ],
)
def test_rows_of_a_task_are_bounded(
    folder: Path, tmp_path: Path, settings: dict[str, Any], own: int | None, expected: int
) -> None:
    collections = {"small": {"path": str(folder / "small"), "max_rows_per_task": own}}
    rows, _, _ = run(make_job(folder, tmp_path / "out", **settings, collections=collections))
    assert len(rows) == expected


def load(folder: Path, out: Path) -> LanguageModel:
    return load_language_model(make_job(folder, out), RequestProgress(print), print)


def test_the_choice_is_that_of_the_least_loss(folder: Path, tmp_path: Path) -> None:
    """Against one forward pass for each row and choice."""
    model = load(folder, tmp_path)
    words = ["Yes", "No, a whale is a mammal", "Bonjour"]
    instances = [ChatInstance(f"{at:02}", "t", f"What is {at}?", words[at % 3], None) for at in range(15)]
    rows = prepare_rows(model, Benchmark("b", instances, 9, ranked=True)).scored
    assert {row.choices for row in rows} == {tuple(sorted(words))}
    for row, result in zip(rows, score_rows(model.lm, rows, "b"), strict=True):
        losses = {word: naive_loss(model, row.instance, word) for word in sorted(words)}
        assert result.measured["loss_sum"] == pytest.approx(losses[row.instance.response], rel=1e-5)
        assert result.measured["choice_correct"] == (
            min(losses, key=lambda word: losses[word]) == row.instance.response
        )


def naive_loss(model: LanguageModel, instance: ChatInstance, response: str) -> float:
    asked = ChatInstance(instance.id, instance.task, instance.prompt, response, None)
    context, continuation = pair_of(model.encoder, asked)
    with torch.no_grad():
        logits = model.lm.model(torch.tensor([context + continuation])).logits[0, len(context) - 1 : -1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(continuation), reduction="sum").item()


@pytest.mark.parametrize(
    ("responses", "ranked"),
    [
        pytest.param(["a", "b"] * 2, True, id="two"),
        pytest.param([str(at) for at in range(8)] * 2, True, id="eight"),
        pytest.param([str(at) for at in range(9)] * 2, False, id="nine"),
        pytest.param(["a"] * 6, False, id="one"),
        pytest.param(["a", "b", "c", "a"], False, id="hardly repeated"),
        pytest.param(["a", "b" * 300] * 4, False, id="too long"),
    ],
)
def test_few_repeated_responses_are_choices(folder: Path, tmp_path: Path, responses: list[str], ranked: bool) -> None:
    model = load(folder, tmp_path)
    instances = [ChatInstance(f"{at:02}", "t", f"{at}", response, None) for at, response in enumerate(responses)]
    for benchmark, expected in ((Benchmark("b", instances, 2, True), ranked), (Benchmark("b", instances, 2), False)):
        assert {bool(row.choices) for row in prepare_rows(model, benchmark).scored} == {expected}


def test_written_answers_are_those_of_greedy_decoding(folder: Path, tmp_path: Path) -> None:
    rows, _, _ = run(make_job(folder, tmp_path / "out", generate={"max_tokens": 12}))
    model = load(folder, tmp_path)
    scorer = RougeScorer(["rougeL"])
    written = [row for row in rows if row["prediction"] is not None]
    assert [row["task"] for row in written] == ["long"] * 3
    texts = {row["target"]: row["input"] for row in map(json.loads, (folder / "small" / "long.jsonl").open())}
    found = {prediction(model, prompt): target for target, prompt in texts.items()}
    for row in written:
        assert row["rouge_l"] == scorer.score(found[row["prediction"]], row["prediction"])["rougeL"].fmeasure


def prediction(model: LanguageModel, prompt: str) -> str:
    context = torch.tensor([pair_of(model.encoder, ChatInstance("", "", prompt, "", None))[0]])
    written = model.lm.model.generate(context, max_new_tokens=12, do_sample=False)[0, context.shape[1] :]
    return model.tokenizer.decode(written, skip_special_tokens=True).strip()


def test_tasks_of_long_responses_by_the_median(folder: Path, tmp_path: Path) -> None:
    model = load(folder, tmp_path)
    lengths = {"half": [12, 12, 1, 1], "most": [12, 13, 14, 1], "short": [11, 11, 11, 11]}
    instances = [
        ChatInstance(f"{at}", task, "p", " ".join(["word"] * length), None)
        for task, of_task in lengths.items()
        for at, length in enumerate(of_task)
    ]
    rows = prepare_rows(model, Benchmark("b", instances)).scored
    chosen = rows_to_write(rows, Generate(rows_per_task=3))
    assert [(row.instance.task, row.instance.id) for row in chosen] == [("most", "0"), ("most", "1"), ("most", "2")]


def test_a_collection_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    job = make_job(folder, tmp_path / "out", collections={"lost": {"path": str(folder / "nowhere")}})
    with pytest.raises(SmartError, match=r"nowhere does not exist"):
        evaluate(job, print)
    assert not job.out.exists()


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        pytest.param({"collections": {"held_out": {"path": "x"}}}, r"names of their own; .*held_out", id="held out"),
        pytest.param({"collections": {"t": {"path": "x"}}, "tasks": ["t"]}, "taken already: t", id="a task's name"),
        pytest.param({"collections": {"a/b": {"path": "x"}}}, r"collections\.a/b", id="no name"),
        pytest.param({"collections": {"a": {"kind": "ftp", "path": "x"}}}, "`kind` is `folder`", id="kind"),
        pytest.param({"collections": {"a": {}}}, r"collections\.a\.path: Field required", id="no path"),
        pytest.param({"collections": {"a": {"path": "x", "rows": 3}}}, r"a\.rows: this key is not known", id="key"),
        pytest.param({"local_data": {"bbh": "x"}}, "not among them: bbh", id="local data of no task"),
        pytest.param({"batch_size": "many"}, r"batch_size: got 'many'; allowed are an integer", id="batch size"),
        pytest.param({"generate": {"rows_per_task": -1}}, r"generate\.rows_per_task: got -1", id="rows"),
    ],
)
def test_settings_that_break_a_rule(tmp_path: Path, evaluate: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        write_project(tmp_path, changes={"evaluate": evaluate})


def test_the_content_of_a_collection_counts_and_its_place_does_not(tmp_path: Path) -> None:
    write_collection(tmp_path / "small")
    (tmp_path / "stand_in").mkdir()
    (tmp_path / "stand_in" / "x.jsonl").write_text("{}\n")
    evaluate = {"collections": {"c": {"path": "small"}}, "tasks": ["x"], "local_data": {"x": "stand_in"}}
    project = write_project(tmp_path, changes={"evaluate": evaluate})
    before = evaluation_parameters(project)
    assert before["collections"]["c"]["outside"].keys() == {"choice.jsonl", "long.jsonl"}
    assert before["local_data"]["x"].keys() == {"x.jsonl"}
    moved = {"collections": {"c": {"path": "moved", "license": "MIT"}}, "tasks": ["x"], "local_data": {"x": "stand_in"}}
    (tmp_path / "small").rename(tmp_path / "moved")
    assert evaluation_parameters(write_project(tmp_path, changes={"evaluate": moved})) == before
    with (tmp_path / "moved" / "long.jsonl").open("a") as stream:
        stream.write('{"input": "more", "target": "more"}\n')
    assert evaluation_parameters(load_project(tmp_path)) != before
    (tmp_path / "moved").rename(tmp_path / "gone")
    with pytest.raises(SmartError, match="moved does not exist"):
        evaluation_parameters(load_project(tmp_path))
