"""Ranked choices: `acc` and `acc_norm` are lm-eval's own, row by row, and ours counts the end token."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smart_assets.evaluation.benchmarks import find_benchmarks, run_benchmark
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import LanguageModel, load_language_model
from smart_assets.evaluation.metrics import row_metrics
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.evaluation.rows import Benchmark, RowResult, prepare_rows
from smart_assets.evaluation.scoring import score_rows
from smart_assets.training.formatting import ChatInstance
from smart_assets_tests.support.evaluation_tasks import evaluation_job, write_task
from smart_assets_tests.support.tiny_model import make_tiny_model

# Sorted, as rows of ours are ranked; the last has more bytes than characters.
CHOICES = ["12", "34", "7", "a cat", "cat", "river", "ça ☃"]
QUESTIONS = [f"What is {at} + {at % 7}?" for at in range(35)]
ROWS = [(question, CHOICES[at * 3 % len(CHOICES)]) for at, question in enumerate(QUESTIONS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choices")
    make_tiny_model(folder / "model", chat=True, seed=1)
    _sharpen(folder / "model")
    for name in ("ours", "tasks"):
        (folder / name).mkdir()
    lines = [{"input": question, "target": choice, "answer": CHOICES.index(choice)} for question, choice in ROWS]
    (folder / "ours" / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    multiple = {
        "output_type": "multiple_choice",
        "doc_to_text": "{{input}}",
        "doc_to_choice": CHOICES,
        "doc_to_target": "answer",
        "target_delimiter": "\n",  # what a plain prompt of ours ends with; chat templates write their own
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    write_task(folder / "tasks", "theirs", folder / "ours" / "t.jsonl", multiple)
    return folder


def _sharpen(model: Path) -> None:
    """Larger weights, so that what is chosen depends on the question."""
    from safetensors.torch import load_file, save_file

    [path] = model.glob("*.safetensors")
    weights = {name: value * (20 if value.dim() > 1 else 1) for name, value in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})


def load(folder: Path, prompt_format: str) -> tuple[EvaluationJob, LanguageModel]:
    evaluate = {"held_out": False, "include_path": str(folder / "tasks"), "tasks": ["theirs"]}
    job = evaluation_job(folder, folder / "out", evaluate, prompt_format=prompt_format)
    return job, load_language_model(job, RequestProgress(print), print)


def ranked(model: LanguageModel) -> list[RowResult]:
    instances = [ChatInstance(f"{at:02}", "t", question, choice, None) for at, (question, choice) in enumerate(ROWS)]
    return score_rows(model.lm, prepare_rows(model, Benchmark("ours", instances, ranked=True)).scored, "ours")


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
def test_acc_and_acc_norm_are_those_of_lm_eval(folder: Path, prompt_format: str) -> None:
    job, model = load(folder, prompt_format)
    ours = ranked(model)
    theirs = run_benchmark("theirs", find_benchmarks(job.evaluate), model, job)
    for name in ("acc", "acc_norm"):
        expected = [json.loads(doc.metrics)[name] for doc in theirs.docs]
        assert [float(row.measured[name]) for row in ours] == expected
        assert 0 < sum(expected) < len(ROWS)
        [one] = [metric for metric in row_metrics(ours) if metric.metric == name]
        [other] = [metric for metric in theirs.metrics if metric.metric == name]
        assert one == replace(other, task="t", benchmark="ours", stderr=pytest.approx(other.stderr))
    assert [row.measured["acc"] for row in ours] != [row.measured["acc_norm"] for row in ours]


def test_each_ranks_by_its_own_figure(folder: Path) -> None:
    """Row by row against one forward pass for each text."""
    _, model = load(folder, "plain")
    found: list[list[str]] = []
    for (question, choice), result in zip(ROWS, ranked(model), strict=True):
        bare = [_log_likelihood(model, f"{question}\n", text) for text in CHOICES]
        ended = [_log_likelihood(model, f"{question}\n", text + model.tokenizer.eos_token) for text in CHOICES]
        normed = [value / len(text) for value, text in zip(bare, CHOICES, strict=True)]
        chosen = [CHOICES[values.index(max(values))] for values in (ended, bare, normed)]
        ranks_first = [result.measured[name] for name in ("choice_correct", "acc", "acc_norm")]
        assert ranks_first == [text == choice for text in chosen]
        found.append(chosen)
    assert len({tuple(choices) for choices in zip(*found, strict=True)}) == 3, "the rows tell the three apart"


def _log_likelihood(model: LanguageModel, context: str, continuation: str) -> float:
    whole = model.tokenizer.encode(context + continuation, add_special_tokens=False)
    start = len(model.tokenizer.encode(context.rstrip(), add_special_tokens=False))
    with torch.no_grad():
        scores = model.lm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(float(scores[at - 1, whole[at]]) for at in range(start, len(whole)))
