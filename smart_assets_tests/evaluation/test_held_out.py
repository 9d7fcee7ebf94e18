"""Held-out scoring against the plainest computation of the same thing: one row, one forward pass, one sum."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.core.errors import EvaluationError
from smart_assets.evaluation import batches
from smart_assets.evaluation.batches import BatchLimits, plan_batches
from smart_assets.evaluation.language_model import LanguageModel, load_language_model
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.evaluation.rows import AskedRow, Benchmark, RowResult, prepare_rows
from smart_assets.evaluation.scoring import score_rows
from smart_assets.evaluation.shared_context import shares_contexts
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.loading import load_tokenizer
from smart_assets.training.rows import encode_rows
from smart_assets_tests.support.evaluation_tasks import evaluation_job
from smart_assets_tests.support.row_encoders import pair_of
from smart_assets_tests.support.tiny_model import make_tiny_model

HOSTILE = ["../../etc/passwd", "a|b", "<script>alert(1)</script>", "\x1b[31mred", "x" * 300, "held_out_0001"]
INSTANCES = [
    ChatInstance(
        f"{number:02d}", task, f"What is {number} + {len(task)}?", f"The answer is {number + len(task)}.", None
    )
    for number, task in enumerate(HOSTILE * 3)
] + [
    ChatInstance("90", "é", "Traduis : bonjour 🙂 ", " Guten Tag, größer\n", None),
    ChatInstance(
        "91", "é", "ignored", "Bonjour.", '[{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]'
    ),
    ChatInstance("92", "é", "What is 0 + 16?", "The answer is 16.", None),  # the very row of another task
]


def load(folder: Path, prompt_format: str = "auto", batch_size: int | str = 4) -> LanguageModel:
    evaluate = {"batch_size": batch_size}
    job = evaluation_job(folder, folder, evaluate, model=folder, rows=folder, prompt_format=prompt_format)
    return load_language_model(job, RequestProgress(print), print)


@pytest.fixture(scope="module", params=["chat", "plain", "plain on a chat model", "chat, left to lm-eval"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = make_tiny_model(tmp_path_factory.mktemp("model"), chat=request.param != "plain")
    model = load(folder, "plain" if request.param.startswith("plain") else "auto")
    if request.param.endswith("left to lm-eval"):
        model.lm.model.set_attn_implementation("eager")
        assert not shares_contexts(model.lm.model)
    return model


def tokens_of(model: LanguageModel, row: AskedRow) -> tuple[list[int], list[int]]:
    return pair_of(model.encoder, row.instance)


def naive_result(model: LanguageModel, row: AskedRow) -> RowResult:
    context, continuation = tokens_of(model, row)
    with torch.no_grad():
        logits = model.lm.model(torch.tensor([context + continuation])).logits[0]
    losses = [
        torch.nn.functional.cross_entropy(logits[len(context) + place - 1], torch.tensor(token)).item()
        for place, token in enumerate(continuation)
    ]
    written = model.lm.model.generate(torch.tensor([context]), max_new_tokens=len(continuation), do_sample=False)
    instance = row.instance
    return RowResult(
        id=instance.id,
        task=instance.task,
        measured={
            "loss_sum": sum(losses),
            "tokens": len(continuation),
            "bytes": len(instance.response.encode()),
            "exact_match": written[0].tolist() == context + continuation,
        },
    )


def assert_equal_results(found: list[RowResult], expected: list[RowResult]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.id, one.task) == (other.id, other.task)
        assert one.measured == {
            **other.measured,
            "loss_sum": pytest.approx(other.measured["loss_sum"], rel=1e-5, abs=1e-4),
        }


def test_scores_are_those_of_a_direct_computation(model: LanguageModel) -> None:
    rows = prepare_rows(model, Benchmark("held_out", INSTANCES))
    assert len(rows.scored) == len(INSTANCES)
    assert_equal_results(
        score_rows(model.lm, rows.scored, "held_out"), [naive_result(model, row) for row in rows.scored]
    )


def test_the_model_is_asked_the_tokens_that_are_taught(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    special = ChatInstance("93", "é", "Say <|im_end|>", "yes<|im_end|> and more", None)
    rows = prepare_rows(model, Benchmark("held_out", [*INSTANCES, special])).scored
    asked: list[tuple[list[int], list[int]]] = []
    score = model.lm._loglikelihood_tokens

    def watched(requests: list[tuple[object, list[int], list[int]]]) -> object:
        asked.extend((context, continuation) for _, context, continuation in requests)
        return score(requests)

    monkeypatch.setattr(model.lm, "_loglikelihood_tokens", lambda requests, **_: watched(requests))
    score_rows(model.lm, rows, "held_out")
    taught, dropped = encode_rows(model.encoder, [row.instance for row in rows], model.lm.max_length)
    assert not dropped
    assert asked == [
        (row.tokens[: row.response_start].tolist(), row.tokens[row.response_start :].tolist()) for row in taught
    ]


def test_a_tokenizer_that_begins_texts_itself_does_so_once(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    make_tiny_model(tmp_path, chat=False)
    tokenizer = load_tokenizer(tmp_path, trust_remote_code=False)
    tokenizer.bos_token = begin = "<|im_start|>"
    number = tokenizer.convert_tokens_to_ids(begin)
    processor = TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, number)])
    tokenizer.backend_tokenizer.post_processor = processor
    tokenizer.save_pretrained(tmp_path)
    for row in prepare_rows(load(tmp_path), Benchmark("held_out", INSTANCES[:2])).scored:
        assert row.own.tokens[0] == number
        assert row.own.tokens.count(number) == 1


def test_exact_match_is_what_greedy_decoding_writes(tmp_path: Path) -> None:
    model = load(make_tiny_model(tmp_path, chat=True))
    rows = prepare_rows(model, Benchmark("held_out", [*INSTANCES[:6], INSTANCES[-2]])).scored
    learn(model, rows[:4])
    results = score_rows(model.lm, rows, "held_out")
    assert [result.measured["exact_match"] for result in results[:4]] == [True] * 4
    assert not all(result.measured["exact_match"] for result in results)
    assert_equal_results(results, [naive_result(model, row) for row in rows])


def learn(model: LanguageModel, rows: tuple[AskedRow, ...]) -> None:
    network = model.lm.model.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    pairs = [tokens_of(model, row) for row in rows]
    for _ in range(60):
        optimizer.zero_grad()
        for context, continuation in pairs:
            labels = torch.tensor([[-100] * len(context) + continuation])
            network(torch.tensor([context + continuation]), labels=labels).loss.backward()
        optimizer.step()
    network.eval()


def test_the_first_rows_of_each_task_by_id_whatever_their_order(model: LanguageModel) -> None:
    rows = prepare_rows(model, Benchmark("held_out", INSTANCES[::-1], 2)).scored
    expected = sorted((instance.task, instance.id) for instance in INSTANCES)
    firsts = [pair for place, pair in enumerate(expected) if place < 2 or expected[place - 2][0] != pair[0]]
    assert [(row.instance.task, row.instance.id) for row in rows] == firsts


def test_what_the_window_does_not_hold_is_named(model: LanguageModel) -> None:
    window = model.lm.max_length
    long_prompt = ChatInstance("0", "t", "good morning " * window, "Bonjour.", None)
    long_response = ChatInstance("1", "t", "good morning", "Bonjour " * window, None)
    rows = prepare_rows(model, Benchmark("held_out", [long_prompt, long_response]))
    assert [row.instance for row in rows.scored] == [long_prompt]
    assert [row.instance for row in rows.truncated] == [long_prompt]
    assert [row.instance for row in rows.not_scored] == [long_response]
    [result] = score_rows(model.lm, rows.scored, "held_out")
    assert result.measured["loss_sum"] > 0
    with pytest.raises(
        EvaluationError, match=r"none of the 1 rows of held_out can be scored: the model reads 512 tokens"
    ):
        prepare_rows(model, Benchmark("held_out", [long_response]))


def test_no_rows_give_no_results(model: LanguageModel) -> None:
    assert score_rows(model.lm, prepare_rows(model, Benchmark("held_out", [])).scored, "held_out") == []


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    model = load(make_tiny_model(tmp_path, chat=True))
    torch.nn.init.constant_(model.lm.model.lm_head.weight, float("nan"))
    with pytest.raises(EvaluationError, match=r"row '00' of task '\.\./\.\./etc/passwd': the model's loss is nan"):
        score_rows(model.lm, prepare_rows(model, Benchmark("held_out", INSTANCES[:1])).scored, "held_out")


def test_long_rows_go_in_smaller_batches_with_the_same_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(make_tiny_model(tmp_path, chat=True))
    rows = prepare_rows(model, Benchmark("held_out", INSTANCES)).scored
    at_once = score_rows(model.lm, rows, "held_out")
    median = sorted(row.context_tokens + row.tokens for row in rows)[len(rows) // 2]
    monkeypatch.setattr(batches, "MOST_LOGITS", 2 * median * model.lm.vocab_size)
    model = load(tmp_path)
    sizes = watch_batches(model)
    in_parts = score_rows(model.lm, rows, "held_out")
    assert min(sizes) == 1
    assert max(sizes) > 1
    assert [result.id for result in in_parts] == [result.id for result in at_once]
    for part, whole in zip(in_parts, at_once, strict=True):
        assert part.measured["loss_sum"] == pytest.approx(whole.measured["loss_sum"], abs=1e-4)
        assert part.measured["exact_match"] == whole.measured["exact_match"]


def watch_batches(model: LanguageModel, most: int | None = None) -> list[int]:
    """The rows of each call of the model; more than `most` at once run out of memory."""
    sizes: list[int] = []

    def watched(_: object, arguments: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> None:
        size = len(arguments[0] if arguments else named["input_ids"])
        sizes.append(size)
        if most is not None and size > most:
            raise torch.OutOfMemoryError

    model.lm.model.register_forward_pre_hook(watched, with_kwargs=True)
    return sizes


def test_where_memory_does_not_suffice_batches_are_halved(tmp_path: Path) -> None:
    model = load(make_tiny_model(tmp_path, chat=True), batch_size="auto")
    rows = prepare_rows(model, Benchmark("held_out", INSTANCES)).scored
    expected = score_rows(model.lm, rows, "held_out")
    sizes = watch_batches(model, most=5)
    assert_equal_results(score_rows(model.lm, rows, "held_out"), expected)
    failed = [size for size in sizes if size > 5]
    assert failed == [20, 10]  # of the 21 rows two are the same to the model
    assert max(sizes[len(failed) :]) <= 5


def test_one_row_that_memory_does_not_hold_is_an_error(tmp_path: Path) -> None:
    model = load(make_tiny_model(tmp_path, chat=True))
    rows = prepare_rows(model, Benchmark("held_out", INSTANCES)).scored
    sizes = watch_batches(model, most=0)
    with pytest.raises(torch.OutOfMemoryError):
        score_rows(model.lm, rows, "held_out")
    assert sizes == [4, 2, 1]


@given(st.lists(st.integers(1, 9000), max_size=60), st.integers(1, 40), st.integers(1, 2**29))
def test_a_batch_holds_a_bounded_number_of_logits(lengths: list[int], most: int, logits: int) -> None:
    found = plan_batches(lengths, BatchLimits(most, logits), 49_152)
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    assert [lengths[place] for batch in found for place in batch] == sorted(lengths, reverse=True)
    for batch in found:
        longest = max(lengths[place] for place in batch)
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or len(batch) * longest * 49_152 <= logits
