"""The tokens of a row: those of the whole text, split where the prompt's own tokens end."""

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from smart_assets.core.errors import RefusedRowError, TrainingError
from smart_assets.training.chat_template import Example
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.loading import load_tokenizer
from smart_assets.training.row_encoder import RowEncoder
from smart_assets_tests.support.row_encoders import encoder_of, pair_of
from smart_assets_tests.support.tiny_model import SPECIAL_TOKENS, make_tiny_model

QUESTION = ChatInstance(id="q1", task="geography", prompt="Which river?", response="The Seine.", messages=None)
PIECES = st.one_of(st.text(max_size=20), st.sampled_from([" ", "\n", "\t\n", "the Seine", "12", "<|", "im_end|>"]))
TEXTS = st.lists(PIECES, max_size=5).map("".join)
SPECIAL_TEXTS = st.lists(st.one_of(PIECES, st.sampled_from(SPECIAL_TOKENS)), max_size=5).map("".join)
SYSTEM = "<|im_start|>system\nYou help.<|im_end|>\n"


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("models")
    folders = {name: make_tiny_model(root / name, chat=name == "chat") for name in ("chat", "plain")}
    return {name: load_tokenizer(folder, trust_remote_code=False) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def encoders(tokenizers: dict[str, Any]) -> dict[str, RowEncoder]:
    return {name: encoder_of(tokenizer) for name, tokenizer in tokenizers.items()}


@pytest.fixture
def chat(tokenizers: dict[str, Any]) -> Any:
    return copy.deepcopy(tokenizers["chat"])


@pytest.fixture
def plain(tokenizers: dict[str, Any]) -> Any:
    return copy.deepcopy(tokenizers["plain"])


def begin_with(tokenizer: Any, token: str) -> None:
    """Make a tokenizer begin every text with a token, as Llama's do."""
    from tokenizers.processors import TemplateProcessing

    tokenizer.bos_token = token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, tokenizer.convert_tokens_to_ids(token))]
    )


def test_chat_format_is_the_template_with_its_system_turn_and_end_of_turn(chat: Any) -> None:
    prompt = f"{SYSTEM}<|im_start|>user\nWhich river?<|im_end|>\n<|im_start|>assistant\n"
    expected = Example(prompt, "", "The Seine.", "<|im_end|>")
    assert encoder_of(chat).example(QUESTION) == expected
    assert encoder_of(chat, "chat").example(QUESTION) == expected


def test_plain_format_is_prompt_newline_response_and_end_of_text(chat: Any, plain: Any) -> None:
    prompt = "Which river?\n"
    assert encoder_of(plain).example(QUESTION) == Example(prompt, "", "The Seine.", "<|endoftext|>")
    assert encoder_of(chat, "plain").example(QUESTION) == Example(prompt, "", "The Seine.", "<|im_end|>")


def test_messages_are_the_turns_before_the_response(chat: Any) -> None:
    turns = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]'
    asked = ChatInstance(id="m", task="t", prompt="not used", response="Hello", messages=turns)
    prompt = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert encoder_of(chat).example(asked) == Example(prompt, "", "Hello", "<|im_end|>")


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
def test_the_line_break_before_an_answer_is_read_and_not_learnt(chat: Any, prompt_format: Any) -> None:
    prompt, learnt = pair_of(encoder_of(chat, prompt_format), QUESTION)
    assert chat.decode(learnt) == "The Seine.<|im_end|>"
    assert chat.decode(prompt).endswith("\n")


def test_a_tokenizer_that_begins_every_text_does_so_once(plain: Any) -> None:
    begin_with(plain, "<|im_start|>")
    encoder = encoder_of(plain, "plain")
    assert encoder.example(QUESTION).prompt == "<|im_start|>Which river?\n"
    prompt, learnt = pair_of(encoder, QUESTION)
    assert prompt[0] == plain.bos_token_id
    assert (prompt + learnt).count(plain.bos_token_id) == 1


@pytest.mark.parametrize("name", ["chat", "plain"])
@given(prompt=TEXTS, response=TEXTS)
@settings(max_examples=100, deadline=None)
def test_tokens_are_those_of_the_whole_text_behind_those_of_the_prompt(
    name: str, tokenizers: dict[str, Any], encoders: dict[str, RowEncoder], prompt: str, response: str
) -> None:
    assume(not any(token in text for token in SPECIAL_TOKENS for text in (prompt, response)))
    tokenizer = tokenizers[name]
    row = encoders[name].encode(ChatInstance("h", "t", prompt, response, None))
    whole = tokenizer.encode(row.example.context + row.example.continuation, add_special_tokens=False)
    asked = tokenizer.encode(row.example.prompt, add_special_tokens=False)
    assert not row.special_text
    assert row.tokens[: row.learnt_from] == asked
    assert row.tokens == whole or whole[: len(asked)] != asked  # a token of the whole spans the border
    assert tokenizer.decode(row.tokens) == tokenizer.decode(whole)


@pytest.mark.parametrize("name", ["chat", "plain"])
@given(prompt=SPECIAL_TEXTS, response=SPECIAL_TEXTS)
@settings(max_examples=100, deadline=None)
def test_special_tokens_in_a_row_are_text(
    name: str, tokenizers: dict[str, Any], encoders: dict[str, RowEncoder], prompt: str, response: str
) -> None:
    tokenizer, encoder = tokenizers[name], encoders[name]
    row = encoder.encode(ChatInstance("h", "t", prompt, response, None))
    specials = set(tokenizer.all_special_ids) | set(tokenizer.convert_tokens_to_ids(SPECIAL_TOKENS))
    of_template = encoder.encode(ChatInstance("h", "t", "x", "x", None)).tokens
    assert [token for token in row.tokens if token in specials] == [token for token in of_template if token in specials]
    assert tokenizer.decode(row.tokens) == row.example.context + row.example.continuation
    assert row.special_text == any(token in prompt or token in response for token in SPECIAL_TOKENS)


def test_special_tokens_in_messages_are_text_however_json_writes_them(chat: Any) -> None:
    turns = json.dumps([{"role": "user", "content": "hi<|im_end|>"}]).replace("<", "\\u003c")
    row = encoder_of(chat).encode(ChatInstance("m", "t", "", "yes<|im_end|> and more", turns))
    assert row.special_text
    end = chat.convert_tokens_to_ids("<|im_end|>")
    assert [token == end for token in row.tokens[row.learnt_from :]].index(True) == len(
        row.tokens
    ) - row.learnt_from - 1
    assert row.tokens.count(end) == 3  # of the system, user and assistant turn


def test_added_tokens_that_a_template_writes_around_turns_are_text_too(chat: Any) -> None:
    from tokenizers import AddedToken

    chat.add_tokens([AddedToken("[TURN]", special=False), AddedToken("<think>", special=False)])
    chat.chat_template = "{% for m in messages %}[TURN]{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    row = encoder_of(chat).encode(ChatInstance("m", "t", "[TURN]", "<think>so</think>yes", None))
    assert row.tokens.count(chat.convert_tokens_to_ids("[TURN]")) == 2
    assert row.tokens.count(chat.convert_tokens_to_ids("<think>")) == 1  # a thought is a model's own to write


def test_a_template_may_take_special_tokens_out_of_a_text(chat: Any) -> None:
    chat.chat_template = (
        "{% for m in messages %}{{ m['role'] }}:{{ m['content'].replace('<|im_end|>', '') }}<|im_end|>\n{% endfor %}"
    )
    row = encoder_of(chat).encode(ChatInstance("m", "t", "hi<|im_end|>", "yes", None))
    assert chat.decode(row.tokens) == "user:hi<|im_end|>\nassistant:yes<|im_end|>"


def test_a_template_that_tells_by_special_tokens_leaves_the_row_out(chat: Any) -> None:
    chat.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] | length }} {% endif %}"
        "{{ m['content'] }}<|im_end|>\n{% endfor %}"
    )
    encoder = encoder_of(chat)
    assert encoder.encode(ChatInstance("m", "t", "hi", "yes", None)).example.prompt == "2 hi<|im_end|>\n"
    with pytest.raises(RefusedRowError, match="changes a special token in its text"):
        encoder.encode(ChatInstance("m", "t", "hi<|im_end|>", "yes", None))


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        pytest.param("{", "'q1': messages must be JSON", id="not JSON"),
        pytest.param('"hello"', "'q1': messages must be a list of turns", id="no list"),
        pytest.param('["hello"]', "'q1': messages must be a list of turns", id="no turns"),
    ],
)
def test_bad_messages_are_refused(chat: Any, messages: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        encoder_of(chat).encode(ChatInstance("q1", "t", "p", "r", messages))


def test_chat_without_a_template_and_plain_without_an_end_are_refused(plain: Any) -> None:
    with pytest.raises(TrainingError, match='"chat" needs a tokenizer with a chat template'):
        encoder_of(plain, "chat")
    with pytest.raises(TrainingError, match='system_turns "fold" needs a tokenizer with a chat template'):
        encoder_of(plain, system_turns="fold")
    plain.eos_token = None
    with pytest.raises(TrainingError, match="no end-of-text token"):
        encoder_of(plain, "plain")
