import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.training.formatting import ChatInstance
from smart_assets.training.loading import load_tokenizer
from smart_assets.training.row_encoder import RowEncoder
from smart_assets.training.rows import DroppedRow, TokenRow, encode_rows
from smart_assets_tests.support.row_encoders import encoder_of, pair_of
from smart_assets_tests.support.tiny_model import GEMMA, make_tiny_model

LONG_PROMPT = "The Seine flows through Paris. " * 10
HEAD = "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\n"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(make_tiny_model(tmp_path_factory.mktemp("tiny"), chat=True), trust_remote_code=False)


@pytest.fixture(scope="module")
def begun(tokenizer: Any) -> RowEncoder:
    """Whose chats begin with the beginning-of-text token, as Llama's do."""
    begun = copy.deepcopy(tokenizer)
    begun.bos_token = "<|endoftext|>"
    begun.chat_template = "{{ bos_token }}" + begun.chat_template
    return encoder_of(begun)


def instance(name: str, prompt: str, response: str, messages: Any = None) -> ChatInstance:
    turns = None if messages is None else json.dumps([{"role": role, "content": text} for role, text in messages])
    return ChatInstance(id=name, task="t", prompt=prompt, response=response, messages=turns)


@pytest.mark.parametrize("prompt_format", ["chat", "plain"])
def test_only_the_response_is_learnt_token_by_token(tokenizer: Any, prompt_format: Any) -> None:
    asked = instance("a", "What is 7 + 5?", "The answer is 12.")
    encoder = encoder_of(tokenizer, prompt_format)
    (row,), dropped = encode_rows(encoder, [asked], 512)
    prompt, learnt = pair_of(encoder, asked)
    assert not dropped
    assert not row.truncated
    assert not row.special_text
    assert row.tokens.tolist() == prompt + learnt
    assert row.response_start == len(prompt)
    assert tokenizer.decode(row.tokens[row.response_start :]) == "The answer is 12.<|im_end|>"


def cut_row(encoder: RowEncoder, asked: ChatInstance, max_length: int) -> tuple[TokenRow, TokenRow]:
    """The row as a whole, and as the window cuts it; what both must agree in is checked."""
    [whole], _ = encode_rows(encoder, [asked], 10_000)
    [short], dropped = encode_rows(encoder, [asked], max_length)
    assert not dropped
    assert len(short.tokens) == max_length
    assert short.truncated
    learnt = len(whole.tokens) - whole.response_start
    assert short.tokens[short.response_start :].tolist() == whole.tokens[-learnt:].tolist()
    return whole, short


def test_a_long_plain_prompt_loses_its_start_and_a_response_nothing(tokenizer: Any) -> None:
    whole, short = cut_row(encoder_of(tokenizer, "plain"), instance("long", LONG_PROMPT, "No."), 16)
    assert short.tokens.tolist() == whole.tokens[-16:].tolist()


def test_a_long_chat_keeps_its_head_and_its_end(begun: RowEncoder) -> None:
    """`<bos>` and what the template writes before the user's words stay; of these the last ones do."""
    tokenizer: Any = begun.tokenizer
    whole, short = cut_row(begun, instance("long", LONG_PROMPT, "No."), 60)
    head = tokenizer.encode("<|endoftext|>" + HEAD, add_special_tokens=False)
    assert short.tokens[: len(head)].tolist() == head
    assert short.tokens[len(head) :].tolist() == whole.tokens[len(head) - 60 :].tolist()
    assert tokenizer.decode(short.tokens).endswith("Paris. <|im_end|>\n<|im_start|>assistant\nNo.<|im_end|>")


def test_a_head_that_takes_half_of_the_room_goes_and_the_beginning_of_text_stays(begun: RowEncoder) -> None:
    long_system = [("system", "Be brief. " * 40), ("user", LONG_PROMPT)]
    whole, short = cut_row(begun, instance("long", "", "No.", long_system), 100)
    assert short.tokens[0] == begun.tokenizer.bos_token_id
    assert short.tokens[1:].tolist() == whole.tokens[-99:].tolist()


@given(st.integers(1, 40), st.integers(8, 200), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_cut_is_one_piece_of_the_prompt(begun: RowEncoder, words: int, max_length: int, system: bool) -> None:
    turns = [("system", "Be brief.")] * system + [("user", "word " * words)]
    asked = instance("a", "", "No.", turns)
    [whole], _ = encode_rows(begun, [asked], 10_000)
    [short], _ = encode_rows(begun, [asked], max_length)
    lost = len(whole.tokens) - len(short.tokens)
    assert lost == max(0, len(whole.tokens) - max_length)
    assert short.truncated == (lost > 0)
    assert any(
        whole.tokens[:at].tolist() + whole.tokens[at + lost :].tolist() == short.tokens.tolist()
        for at in range(len(short.tokens) + 1)
    )


def test_a_response_without_room_drops_the_row_by_name_and_reason(tokenizer: Any) -> None:
    kept = instance("kept", "Is a whale a fish?", "No.")
    lost = instance("lost", "Say it.", LONG_PROMPT)
    encoder = encoder_of(tokenizer, "plain")
    length = len(pair_of(encoder, lost)[1])
    rows, dropped = encode_rows(encoder, [kept, lost], length)
    assert [row.instance.id for row in rows] == ["kept"]
    assert dropped == [DroppedRow("lost", f"the response has {length} tokens, max_length is {length}")]
    rows, dropped = encode_rows(encoder, [lost], length + 1)
    assert [row.response_start for row in rows] == [1]


def test_a_row_without_a_prompt_is_read_from_its_line_break_on(tokenizer: Any) -> None:
    (row,), _ = encode_rows(encoder_of(tokenizer, "plain"), [instance("empty", "", "No.")], 512)
    assert row.response_start == 1


SYSTEM = instance("system", "", "yes", [("system", "Be kind."), ("user", "hi")])
NOT_IN_TURN = instance("twice", "", "yes", [("user", "hi"), ("user", "ho")])
USUAL = instance("usual", "hi", "yes")


def test_rows_that_the_template_refuses_are_left_out_with_its_words(tokenizer: Any) -> None:
    strict = copy.deepcopy(tokenizer)
    strict.chat_template = GEMMA
    rows, dropped = encode_rows(encoder_of(strict), [SYSTEM, USUAL, NOT_IN_TURN], 512)
    assert [row.instance.id for row in rows] == ["usual"]
    refused = "the chat template refuses its turns: "
    assert dropped == [
        DroppedRow("system", refused + "System role not supported"),
        DroppedRow("twice", refused + "Conversation roles must alternate user/assistant/user/assistant/..."),
    ]


def test_a_folded_system_turn_is_accepted(tokenizer: Any) -> None:
    strict = copy.deepcopy(tokenizer)
    strict.chat_template = GEMMA
    rows, dropped = encode_rows(encoder_of(strict, system_turns="fold"), [SYSTEM, USUAL], 512)
    assert not dropped
    assert strict.decode(rows[0].tokens) == (
        "<|im_start|>user\nBe kind.\n\nhi<|im_end|>\n<|im_start|>model\nyes<|im_end|>"
    )


def test_a_response_that_names_special_tokens_is_marked(tokenizer: Any) -> None:
    [row], _ = encode_rows(encoder_of(tokenizer), [instance("a", "hi", "yes<|im_end|> and more")], 512)
    assert row.special_text
    learnt = row.tokens[row.response_start :].tolist()
    assert learnt.count(tokenizer.eos_token_id) == 1
    assert learnt[-1] == tokenizer.eos_token_id
