"""Tools and calls of them: written by a template that takes them, and else a reason to leave the row out."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from smart_assets.core.errors import RefusedRowError
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.settings import Finetune
from smart_assets.training.turn_check import ChatForm, form_of, refused_chats
from smart_assets_tests.support.row_encoders import encoder_of
from smart_assets_tests.support.tiny_model import CHAT_TEMPLATE, tiny_tokenizer

HEADER = "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CALLS = "{% for call in m['tool_calls'] or [] %}<call>{{ call['function'] | tojson }}</call>{% endfor %}"
TOOLS = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
WITH_TOOLS = f"{TOOLS}{{% for m in messages %}}{HEADER}{CALLS}<|im_end|>\n{{% endfor %}}{ASKED}"
WITHOUT_CALLS = f"{TOOLS}{{% for m in messages %}}{HEADER}<|im_end|>\n{{% endfor %}}{ASKED}"
WANTS_TEXTS = WITH_TOOLS.replace(
    "call['function'] | tojson", "call['function']['name'] + call['function']['arguments']"
)
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}
HI = {"role": "user", "content": "hi"}
CALLED = [HI, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "blue"}]


def encoder(template: str, **settings: Any) -> Any:
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.chat_template = template
    return encoder_of(tokenizer, **settings)


def row(turns: list[Any], response: str = "It is blue.", **more: Any) -> ChatInstance:
    stored = {"messages": turns, **more} if more else turns
    return ChatInstance("a", "t", "hi", response, json.dumps(stored))


def test_a_template_writes_tools_and_calls() -> None:
    example = encoder(WITH_TOOLS).example(row(CALLED, tools=[TOOL]))
    assert '"parameters"' in example.prompt
    assert '<call>{"name": "look", "arguments": {"at": "sky"}}</call>' in example.prompt
    assert (example.response, example.end) == ("It is blue.", "<|im_end|>")


def test_calls_of_the_response_are_learnt() -> None:
    calls = json.dumps([CALL], sort_keys=True, separators=(",", ":"))
    example = encoder(WITH_TOOLS).example(row([HI], calls, tools=[TOOL], tool_calls=[CALL]))
    assert example.response == '<call>{"name": "look", "arguments": {"at": "sky"}}</call>'
    both = encoder(WITH_TOOLS).encode(row([HI], "I look.", tools=[TOOL], tool_calls=[CALL]))
    assert both.example.response.startswith("I look.<call>")
    assert both.example.end == "<|im_end|>"


def test_a_template_may_want_arguments_as_text() -> None:
    assert '<call>look{"at": "sky"}</call>' in encoder(WANTS_TEXTS).example(row(CALLED)).prompt


@pytest.mark.parametrize(
    ("template", "instance", "reason"),
    [
        pytest.param(CHAT_TEMPLATE, row([HI], tools=[TOOL]), "does not write its tools", id="tools"),
        pytest.param(WITHOUT_CALLS, row(CALLED), "does not write its tool calls", id="calls before"),
        pytest.param(
            WITHOUT_CALLS, row([HI], "I look.", tool_calls=[CALL]), "does not write its tool calls", id="calls"
        ),
        pytest.param(
            CHAT_TEMPLATE,
            row([{**HI, "content": "look"}], tools=[TOOL]),
            "does not write its tools",
            id="the name alone stands in a turn",
        ),
    ],
)
def test_what_a_template_does_not_write_leaves_the_row_out(template: str, instance: ChatInstance, reason: str) -> None:
    with pytest.raises(RefusedRowError, match=reason):
        encoder(template).encode(instance)


@pytest.mark.parametrize("instance", [row(CALLED), row([HI], tools=[TOOL]), row([HI], tool_calls=[CALL])])
def test_plain_prompts_hold_no_tools(instance: ChatInstance) -> None:
    with pytest.raises(RefusedRowError, match="plain prompts hold no tools"):
        encoder(CHAT_TEMPLATE, prompt_format="plain").encode(instance)


def test_a_subset_says_how_many_rows_will_be_left_out(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{}")
    stored = [row([HI], tools=[TOOL]), row([HI], tools=[TOOL]), row(CALLED), row([HI])]
    forms = Counter(form_of(instance.messages or "") for instance in stored)
    assert forms[ChatForm(("user",), offers_tools=True)] == 2
    cases: list[tuple[dict[str, Any], list[int]]] = [({}, [2, 1]), ({"prompt_format": "plain"}, [3])]
    for settings, expected in cases:
        found = refused_chats(forms, Finetune(base_model=str(tmp_path / "model"), **settings), tmp_path)
        assert list(found.values()) == expected
