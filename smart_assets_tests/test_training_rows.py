from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.training.formatting import Instance, encode_example, format_example
from smart_assets.training.loading import load_tokenizer
from smart_assets.training.rows import DroppedRow, encode_rows, training_order
from smart_assets_tests.tiny_model import make_tiny_model

LONG_PROMPT = "The Seine flows through Paris. " * 10


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(make_tiny_model(tmp_path_factory.mktemp("tiny"), chat=True), trust_remote_code=False)


def instance(name: str, prompt: str, response: str) -> Instance:
    return Instance(id=name, task="t", prompt=prompt, response=response, messages=None)


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
def test_only_the_response_is_learnt_token_by_token(tokenizer: Any, prompt_format: Any) -> None:
    asked = instance("a", "What is 7 + 5?", "The answer is 12.")
    (row,), dropped = encode_rows(tokenizer, [asked], prompt_format, 512)
    context, response = encode_example(tokenizer, format_example(tokenizer, asked, prompt_format))
    assert not dropped
    assert not row.truncated
    assert row.tokens.tolist() == context + response
    assert row.response_start == len(context)
    assert tokenizer.decode(row.tokens[row.response_start :]) == "\nThe answer is 12.<|im_end|>"


def test_a_long_context_loses_its_start_and_a_response_nothing(tokenizer: Any) -> None:
    (whole,), _ = encode_rows(tokenizer, [instance("long", LONG_PROMPT, "No.")], "plain", 512)
    (short,), dropped = encode_rows(tokenizer, [instance("long", LONG_PROMPT, "No.")], "plain", 16)
    assert short.truncated
    assert not dropped
    assert short.tokens.tolist() == whole.tokens[-16:].tolist()
    assert 16 - short.response_start == len(whole.tokens) - whole.response_start


def test_a_response_without_room_drops_the_row_by_name_and_reason(tokenizer: Any) -> None:
    kept = instance("kept", "Is a whale a fish?", "No.")
    lost = instance("lost", "Say it.", LONG_PROMPT)
    length = len(encode_example(tokenizer, format_example(tokenizer, lost, "plain"))[1])
    rows, dropped = encode_rows(tokenizer, [kept, lost], "plain", length)
    assert [row.instance.id for row in rows] == ["kept"]
    assert dropped == [DroppedRow("lost", f"the response has {length} tokens, max_length is {length}")]
    rows, dropped = encode_rows(tokenizer, [lost], "plain", length + 1)
    assert [row.response_start for row in rows] == [1]


def test_a_row_without_context_learns_all_but_its_first_token(tokenizer: Any) -> None:
    (row,), _ = encode_rows(tokenizer, [instance("empty", "", "No.")], "plain", 512)
    assert row.response_start == 1


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    epochs=st.floats(0.1, 3),
    effective_batch=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_epoch_is_a_permutation_and_steps_are_sorted(
    lengths: list[int], epochs: float, effective_batch: int, seed: int
) -> None:
    order = training_order(lengths, epochs, effective_batch, seed)
    assert len(order) == max(1, round(len(lengths) * epochs))
    seen = np.bincount(order, minlength=len(lengths))
    assert seen.max() - seen.min() <= 1
    for start in range(0, len(order), effective_batch):
        step = [lengths[index] for index in order[start : start + effective_batch]]
        assert step == sorted(step, reverse=True)
    assert np.array_equal(order, training_order(lengths, epochs, effective_batch, seed))


def test_another_seed_gives_another_order() -> None:
    lengths = list(range(100))
    assert not np.array_equal(training_order(lengths, 1, 10, 0), training_order(lengths, 1, 10, 1))
