"""What is taught is what the template writes of the whole chat, whatever its shape; what cannot be, is refused."""

import copy
from datetime import date
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.core.errors import RefusedRowError, TrainingError
from smart_assets.training.chat_template import fold_system_turns, pin_clock
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.row_encoder import RowEncoder
from smart_assets_tests.support.row_encoders import encoder_of
from smart_assets_tests.support.tiny_model import CHAT_TEMPLATE, tiny_tokenizer

HEADER = "<|im_start|>{{ m['role'] }}\n"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
# name -> template, what it writes between prompt and response, what ends a response
SHAPES = {
    "ChatML": (CHAT_TEMPLATE, "", "<|im_end|>"),
    "space before the answer": (
        "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
        "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}",
        " ",
        "<|im_end|>",
    ),
    "empty thought before the last answer": (
        f"{{% for m in messages %}}{HEADER}{{% if m['role'] == 'assistant' and loop.last %}}<think>\n\n</think>\n\n"
        f"{{% endif %}}{{{{ m['content'] }}}}<|im_end|>\n{{% endfor %}}{ASKED}",
        "<think>\n\n</think>\n\n",
        "<|im_end|>",
    ),
    "channel before the answer": (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}{% if m['role'] == 'assistant' %}<|channel|>final{% endif %}"
        "<|message|>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|return|>{% else %}<|end|>{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{% endif %}",
        "<|channel|>final<|message|>",
        "<|return|>",
    ),
    "trims": (
        f"{{% for m in messages %}}{HEADER}{{{{ m['content'] | trim }}}}<|im_end|>\n{{% endfor %}}{ASKED}",
        "",
        "<|im_end|>",
    ),
    "no generation prompt": (
        f"{{% for m in messages %}}{HEADER}{{{{ m['content'] }}}}<|im_end|>\n{{% endfor %}}",
        "<|im_start|>assistant\n",
        "<|im_end|>",
    ),
    "space before the end": (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] | trim }} [/INST]"
        "{% else %} {{ m['content'] | trim }} {{ eos_token }}{% endif %}{% endfor %}",
        " ",
        " <|im_end|>",
    ),
    "generation prompt that opens a thought": (
        f"{{% for m in messages %}}{HEADER}{{{{ m['content'] }}}}<|im_end|>\n{{% endfor %}}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
        "",
        "<|im_end|>",
    ),
    "no end of turn": ("{% for m in messages %}{{ m['content'] }}\n{% endfor %}", "", "<|im_end|>"),
    "earlier answers without their thought": (
        f"{{% for m in messages %}}{HEADER}{{% if m['role'] == 'assistant' and not loop.last %}}"
        "{{ m['content'].split('</think>')[-1] }}{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n"
        f"{{% endfor %}}{ASKED}",
        "",
        "<|im_end|>",
    ),
}
REWRITES = {
    "lower case": "{{ m['content'] | lower }}",
    "escapes": "{{ m['content'] | e }}",
    "no response": "{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}",
    "twice": "{{ m['content'] }} {{ m['content'] }}",
    "cut": "{{ m['content'][:5] }}",
}
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def tokenizer_of(template: str) -> Any:
    tokenizer = copy.deepcopy(_TOKENIZER)
    tokenizer.chat_template = template
    return tokenizer


@cache
def shaped_encoder(shape: str) -> RowEncoder:
    return encoder_of(tokenizer_of(SHAPES[shape][0]))


_TOKENIZER = tiny_tokenizer(True)
_TOKENIZER.bos_token = "<|im_start|>"


def whole_chat(tokenizer: Any, *texts: str) -> str:
    """The template's own text of a chat, user and assistant in turn."""
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    return tokenizer.apply_chat_template(turns, tokenize=False)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_is_the_templates_own_text_of_the_whole_chat(shape: str) -> None:
    template, lead, end = SHAPES[shape]
    tokenizer = tokenizer_of(template)
    row = encoder_of(tokenizer).encode(ChatInstance("x", "t", "hi", "yes", None))
    example = row.example
    assert (example.lead, example.response, example.end) == (lead, "yes", end)
    written = example.context + example.continuation
    assert written.removesuffix(end if shape == "no end of turn" else "") == whole_chat(tokenizer, "hi", "yes").rstrip()
    assert tokenizer.decode(row.tokens) == written
    assert tokenizer.decode(row.tokens[row.learnt_from :]) == lead + "yes" + end
    assert tokenizer.decode(row.tokens[row.scored_from :]).strip() == "yes" + end


@pytest.mark.parametrize("shape", SHAPES)
@given(prompt=WORDS, response=WORDS)
@settings(max_examples=25, deadline=None)
def test_a_row_is_a_prefix_of_that_text_whatever_its_words(shape: str, prompt: str, response: str) -> None:
    encoder = shaped_encoder(shape)
    tokenizer: Any = encoder.tokenizer
    example = encoder.encode(ChatInstance("x", "t", prompt, response, None)).example
    end = "" if shape == "no end of turn" else example.end
    assert whole_chat(tokenizer, prompt, response).startswith(example.context + example.response + end)
    assert example.response.strip() == response.strip()
    if "opens a thought" not in shape:
        turns = [{"role": "user", "content": prompt}]
        asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert example.prompt == asked


@pytest.mark.parametrize("shape", REWRITES)
def test_a_template_that_rewrites_responses_is_refused_before_training(shape: str) -> None:
    template = f"{{% for m in messages %}}{HEADER}{REWRITES[shape]}<|im_end|>\n{{% endfor %}}{ASKED}"
    with pytest.raises(TrainingError, match="does not write a response as it stands"):
        encoder_of(tokenizer_of(template))


def test_a_response_that_a_template_rewrites_leaves_its_row_out() -> None:
    template = (
        f"{{% for m in messages %}}{HEADER}{{{{ m['content'].split('#')[-1] }}}}<|im_end|>\n{{% endfor %}}{ASKED}"
    )
    encoder = encoder_of(tokenizer_of(template))
    assert encoder.encode(ChatInstance("x", "t", "hi # there", "yes", None)).example.response == "yes"
    with pytest.raises(RefusedRowError, match="the chat template rewrites its response"):
        encoder.encode(ChatInstance("x", "t", "hi", "yes # no", None))


def test_a_response_may_bring_its_own_lead() -> None:
    """As Qwen3's template writes thoughts: the response's own, or an empty one."""
    answer = (
        "{% if m['role'] == 'assistant' and loop.last and '</think>' not in m['content'] %}<think>\n\n</think>\n\n"
        "{% endif %}{{ m['content'] }}"
    )
    template = f"{{% for m in messages %}}{HEADER}{answer}<|im_end|>\n{{% endfor %}}{ASKED}"
    encoder = encoder_of(tokenizer_of(template))
    thought = "<think>\nParis\n</think>\n\nThe Seine."
    assert encoder.encode(ChatInstance("x", "t", "hi", "yes", None)).example.lead == "<think>\n\n</think>\n\n"
    example = encoder.encode(ChatInstance("x", "t", "hi", thought, None)).example
    assert (example.lead, example.response) == ("", thought)


@pytest.mark.parametrize(
    ("shape", "note"),
    [
        pytest.param("channel before the answer", "<|channel|>final<|message|>' before a response: learnt", id="lead"),
        pytest.param(
            "generation prompt that opens a thought", "a model is asked otherwise than it was taught", id="other"
        ),
        pytest.param("no end of turn", "ends no response: '<|im_end|>' is put there", id="no end"),
        pytest.param("ChatML", None, id="nothing"),
        pytest.param("space before the answer", None, id="white space"),
    ],
)
def test_what_a_person_should_know_of_a_template_is_said(shape: str, note: str | None) -> None:
    notes = encoder_of(tokenizer_of(SHAPES[shape][0])).notes()
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


def test_the_templates_own_words_say_why_it_refuses() -> None:
    tokenizer = tokenizer_of("{{ raise_exception('roles must\nalternate') }}")
    with pytest.raises(RefusedRowError, match=r"^the chat template refuses its turns: roles must alternate$"):
        encoder_of(tokenizer).encode(ChatInstance("x", "t", "hi", "yes", None))


CLOCK = (
    "{% if strftime_now is defined %}{% set d = strftime_now('%d %b %Y %H:%M:%S') %}"
    "{% else %}{% set d = 'no' %}{% endif %}"
    "<|im_start|>system\nToday Date: {{ d }}<|im_end|>\n" + SHAPES["ChatML"][0]
)


def test_a_clock_stands_still_at_the_day_that_is_set() -> None:
    tokenizer = tokenizer_of(CLOCK)
    instance = ChatInstance("x", "t", "hi", "yes", None)
    assert "Today Date: 01 Jan 2026 00:00:00" in encoder_of(tokenizer).example(instance).prompt
    other = encoder_of(tokenizer, template_date=date(2024, 7, 26)).example(instance)
    assert "Today Date: 26 Jul 2024 00:00:00" in other.prompt
    assert tokenizer.chat_template == CLOCK  # what is saved beside the model is the model's own


@pytest.mark.parametrize("start", ["", "\n", "\n\n", " "])
def test_a_pinned_template_writes_what_it_wrote(start: str) -> None:
    source = start + "{{ strftime_now(messages[0]['content']) }}."
    tokenizer = tokenizer_of(pin_clock(source, date(2025, 3, 9)))
    formats = "%A %a %B %b %d %-d %e|%H:%M:%S %-I %p %y %Y-%m-%d %j %-m %F"
    written = tokenizer.apply_chat_template([{"role": "user", "content": formats}], tokenize=False)
    assert written == start + "Sunday Sun March Mar 09 9  9|00:00:00 12 AM 25 2025-03-09 068 3 2025-03-09."


def test_a_template_that_writes_another_text_each_time_is_refused() -> None:
    template = "{{ range(10000) | random }}" + SHAPES["ChatML"][0]
    with pytest.raises(TrainingError, match="writes another text each time"):
        encoder_of(tokenizer_of(template))


def turns(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in pairs]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([("system", "S"), ("user", "U")], [("user", "S\n\nU")], id="one"),
        pytest.param([("system", "S"), ("developer", "D"), ("user", "U")], [("user", "S\n\nD\n\nU")], id="two"),
        pytest.param([("user", "U"), ("system", "S")], [("user", "U"), ("system", "S")], id="not leading"),
        pytest.param([("system", "S")], [("system", "S")], id="alone"),
        pytest.param([("system", "S"), ("assistant", "A")], [("system", "S"), ("assistant", "A")], id="no user turn"),
        pytest.param(
            [("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V")],
            [("user", "S\n\nU"), ("assistant", "A"), ("user", "V")],
            id="several turns",
        ),
    ],
)
def test_leading_system_turns_are_folded_into_the_first_user_turn(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    assert fold_system_turns(turns(*before)) == turns(*after)
