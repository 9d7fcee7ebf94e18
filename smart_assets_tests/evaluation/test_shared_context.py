"""Continuations scored in one pass with their context, against the plainest computation: each one alone."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
)

from smart_assets.evaluation.shared_context import score_continuations, share_contexts, shares_contexts

VOCABULARY = 50
WINDOW = 24
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": WINDOW,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SHARING = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=None),
    "phi3": Phi3Config(**SIZES, num_key_value_heads=2, sliding_window=None),
    "neox": GPTNeoXConfig(**SIZES),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=WINDOW),  # learned positions
}
ALONE = {
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=8),
    "qwen2": Qwen2Config(
        **SIZES, num_key_value_heads=2, use_sliding_window=True, sliding_window=8, max_window_layers=1
    ),
    "gemma2": Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=8, sliding_window=8),
    "bloom": BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4),
    "falcon": FalconConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True
    ),
    "roberta": RobertaConfig(**SIZES, is_decoder=True),
    "mamba": MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2),
}
TOKENS = st.integers(3, VOCABULARY - 1)
CONTEXTS = st.lists(st.lists(TOKENS, min_size=1, max_size=2 * WINDOW), min_size=1, max_size=4)
CONTINUATIONS = st.lists(TOKENS, min_size=1, max_size=WINDOW)


@cache
def model_of(name: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(SHARING[name], dtype=torch.float32).eval()


def alone(model: Any, context: Sequence[int], continuation: Sequence[int]) -> tuple[float, bool]:
    tokens = [*context, *continuation][-(WINDOW + 1) :]
    with torch.no_grad():
        logits = model(torch.tensor([tokens[:-1]])).logits[0, -len(continuation) :]
    scores = torch.log_softmax(logits, dim=-1)
    likely = sum(scores[place, token].item() for place, token in enumerate(continuation))
    return likely, logits.argmax(dim=-1).tolist() == list(continuation)


def together(model: Any, requests: Sequence[tuple[None, list[int], list[int]]]) -> list[tuple[float, bool]]:
    groups = share_contexts(requests, WINDOW)
    places = [place for group in groups for place in group.places]
    answers = dict(zip(places, score_continuations(model, "cpu", groups), strict=True))
    return [answers[place] for place in range(len(requests))]


@pytest.mark.parametrize("name", SHARING)
@settings(max_examples=15, deadline=None)
@given(contexts=CONTEXTS, continuations=st.lists(CONTINUATIONS, min_size=1, max_size=6), data=st.data())
def test_answers_are_those_of_each_continuation_alone(
    name: str, contexts: list[list[int]], continuations: list[list[int]], data: st.DataObject
) -> None:
    model = model_of(name)
    assert shares_contexts(model)
    requests = [(None, data.draw(st.sampled_from(contexts)), continuation) for continuation in continuations]
    for found, (_, context, continuation) in zip(together(model, requests), requests, strict=True):
        likely, greedy = alone(model, context, continuation)
        assert found[0] == pytest.approx(likely, abs=1e-4)
        assert found[1] == greedy


def test_what_greedy_decoding_writes_is_known() -> None:
    model = model_of("llama")
    written = model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=4, do_sample=False, eos_token_id=None)
    right = written[0, 3:].tolist()
    wrong = [*right[:-1], right[-1] + 1]
    found = together(model, [(None, [3, 4, 5], right), (None, [3, 4, 5], wrong), (None, [3, 4, 5], right[:1])])
    assert [greedy for _, greedy in found] == [True, False, True]


@given(contexts=CONTEXTS, continuations=st.lists(CONTINUATIONS, min_size=1, max_size=30), data=st.data())
def test_groups_hold_every_request_once_and_fit_the_window(
    contexts: list[list[int]], continuations: list[list[int]], data: st.DataObject
) -> None:
    requests = [(None, data.draw(st.sampled_from(contexts)), continuation) for continuation in continuations]
    groups = share_contexts(requests, WINDOW)
    assert sorted(place for group in groups for place in group.places) == list(range(len(requests)))
    for group in groups:
        assert group.length <= WINDOW
        for place, continuation, lead in zip(group.places, group.continuations, group.leads, strict=True):
            _, context, asked = requests[place]
            assert list(continuation[lead:]) == asked
            assert [*group.context, *continuation] == [*context, *asked][-(WINDOW + 1) :]


def test_choices_of_one_question_are_one_sequence() -> None:
    [group] = share_contexts([(None, [3, 4], [5, 6]), (None, [3, 4], [7]), (None, [3, 4], [8, 9, 10])], WINDOW)
    assert group.length == 2 + 1 + 0 + 2


def test_a_context_that_goes_on_from_another_shares_its_sequence() -> None:
    ours, theirs = [(None, [3, 4, 9], [5, 6]), (None, [3, 4, 9], [7])], [(None, [3, 4], [9, 5]), (None, [3, 4], [9, 7])]
    [group] = share_contexts([*ours, *theirs], WINDOW)
    assert (group.context, group.leads, group.places) == ((3, 4), (1, 1, 0, 0), (0, 1, 2, 3))
    assert group.continuations == ((9, 5, 6), (9, 7), (9, 5), (9, 7))
    model = model_of("llama")
    for found, (_, context, continuation) in zip(together(model, [*ours, *theirs]), [*ours, *theirs], strict=True):
        assert found[0] == pytest.approx(alone(model, context, continuation)[0], abs=1e-4)
    written = model.generate(torch.tensor([[3, 4, 9]]), max_new_tokens=2, do_sample=False, eos_token_id=None)[0, 3:]
    found = together(model, [(None, [3, 4, 9], written.tolist()), (None, [3, 4], [9, *written.tolist()])])
    assert found[0][1], "the context's own tokens need not be the most likely ones"
    assert [one.context for one in share_contexts([(None, [3], [5]), (None, [3, *range(4, 13)], [5])], WINDOW)] == [
        (3,), (3, *range(4, 13)),
    ]  # fmt: skip


def test_what_is_remembered_tells_contexts_from_continuations() -> None:
    [alike] = share_contexts([(None, [3, 4], [9, 5])], WINDOW)
    groups = [share_contexts([(None, [3, 4], [9, 5]), (None, context, asked)], WINDOW) for context, asked in (
        ([3, 4, 9], [5]), ([3, 4], [9, 5]),
    )]  # fmt: skip
    told = [json.dumps(group.asked) for [group] in groups]
    assert told[0] != told[1]
    assert alike.asked == [(3, 4), ((9, 5),)], "as before contexts were shared so: what was answered then is remembered"


@pytest.mark.parametrize("name", ALONE)
def test_models_that_do_not_go_by_the_mask_are_left_to_lm_eval(name: str) -> None:
    model = AutoModelForCausalLM.from_config(ALONE[name], dtype=torch.float32)
    assert not shares_contexts(model)


def test_a_kernel_that_takes_no_mask_is_left_to_lm_eval() -> None:
    assert not shares_contexts(AutoModelForCausalLM.from_config(SHARING["llama"], attn_implementation="eager"))


def test_code_from_elsewhere_is_left_to_lm_eval() -> None:
    class Own(type(model_of("llama"))):  # type: ignore[misc]  # its class is found by its configuration
        pass

    assert not shares_contexts(Own(SHARING["llama"]))
