from typing import Any

import pytest

from smart_assets.training.formatting import Instance, encode_example, format_example
from smart_assets.training.loading import load_tokenizer
from smart_assets.training.rows import DroppedRow, encode_rows
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
