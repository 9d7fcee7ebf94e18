import copy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.errors import TrainingError
from smart_assets.training.formatting import Example, Instance, encode_example, format_example, load_instances
from smart_assets.training.loading import load_tokenizer
from smart_assets_tests.tiny_model import SPECIAL_TOKENS, make_tiny_model

QUESTION = Instance(id="q1", task="geography", prompt="Which river?", response="The Seine.", messages=None)
PIECES = st.one_of(st.text(max_size=20), st.sampled_from([*SPECIAL_TOKENS, " ", "\n", "\t\n", "the Seine", "12"]))
TEXTS = st.lists(PIECES, max_size=5).map("".join)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: make_tiny_model(root / name, chat=name == "chat") for name in ("chat", "plain")}


@pytest.fixture
def chat(folders: dict[str, Path]) -> Any:
    return load_tokenizer(folders["chat"], trust_remote_code=False)


@pytest.fixture
def plain(folders: dict[str, Path]) -> Any:
    return load_tokenizer(folders["plain"], trust_remote_code=False)


@pytest.fixture(scope="module")
def evaluators(folders: dict[str, Path]) -> dict[str, Any]:
    from lm_eval.models.huggingface import HFLM

    return {name: HFLM(pretrained=str(folder), device="cpu") for name, folder in folders.items()}


def begin_with(tokenizer: Any, token: str) -> None:
    """Make a tokenizer begin every text with a token, as Llama's do."""
    from tokenizers.processors import TemplateProcessing

    tokenizer.bos_token = token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, tokenizer.convert_tokens_to_ids(token))]
    )


def test_chat_format_is_the_template_with_its_system_turn_and_end_of_turn(chat: Any) -> None:
    expected = Example(
        "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nWhich river?<|im_end|>\n<|im_start|>assistant\n",
        "The Seine.<|im_end|>",
    )
    assert format_example(chat, QUESTION, "auto") == expected
    assert format_example(chat, QUESTION, "chat") == expected


def test_plain_format_is_prompt_newline_response_and_end_of_text(chat: Any, plain: Any) -> None:
    assert format_example(plain, QUESTION, "auto") == Example("Which river?\n", "The Seine.<|endoftext|>")
    assert format_example(chat, QUESTION, "plain") == Example("Which river?\n", "The Seine.<|im_end|>")


def test_messages_are_the_turns_before_the_response(chat: Any) -> None:
    turns = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]'
    asked = Instance(id="m", task="t", prompt="not used", response="Hello", messages=turns)
    context = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert format_example(chat, asked, "auto") == Example(context, "Hello<|im_end|>")


def test_a_template_without_an_end_of_turn_gets_the_end_of_text(plain: Any) -> None:
    plain.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    assert format_example(plain, QUESTION, "chat").continuation == "The Seine.<|endoftext|>"


def test_a_tokenizer_that_begins_every_text_does_so_once(plain: Any, evaluators: dict[str, Any]) -> None:
    begin_with(plain, "<|im_start|>")
    example = format_example(plain, QUESTION, "plain")
    assert example.context == "<|im_start|>Which river?\n"
    context, response = encode_example(plain, example)
    assert (context + response).count(plain.bos_token_id) == 1
    evaluator = copy.copy(evaluators["plain"])
    evaluator.tokenizer = plain
    assert (context, response) == evaluator._encode_pair(example.context, example.continuation)


@pytest.mark.parametrize("name", ["chat", "plain"])
@given(prompt=TEXTS, response=TEXTS)
@settings(max_examples=100, deadline=None)
def test_tokens_are_those_of_lm_eval(name: str, evaluators: dict[str, Any], prompt: str, response: str) -> None:
    evaluator = evaluators[name]
    instance = Instance(id="h", task="t", prompt=prompt, response=response, messages=None)
    example = format_example(evaluator.tokenizer, instance, "auto")
    context, continuation = encode_example(evaluator.tokenizer, example)
    assert (context, continuation) == evaluator._encode_pair(example.context, example.continuation)


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
        format_example(chat, Instance("q1", "t", "p", "r", messages), "auto")


def test_a_template_that_refuses_the_turns_names_the_instance(chat: Any) -> None:
    chat.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(TrainingError, match=r"instance 'q1': the chat template refuses its turns \(roles must"):
        format_example(chat, QUESTION, "chat")


def test_chat_without_a_template_and_plain_without_an_end_are_refused(plain: Any) -> None:
    with pytest.raises(TrainingError, match='"chat" needs a tokenizer with a chat template'):
        format_example(plain, QUESTION, "chat")
    plain.eos_token = None
    with pytest.raises(TrainingError, match="no end-of-text token"):
        format_example(plain, QUESTION, "plain")


def rows_table(**columns: Any) -> pa.Table:
    text = {name: pa.array(["x"], pa.string()) for name in ("id", "task", "prompt", "response", "messages")}
    return pa.table({name: column for name, column in (text | columns).items() if column is not None})


def test_instances_are_read_in_row_order(tmp_path: Path) -> None:
    table = rows_table(messages=pa.array([None], pa.string()))
    pq.write_table(pa.concat_tables([table, rows_table(id=pa.array(["y"]))]), tmp_path / "rows.parquet")
    assert load_instances(tmp_path / "rows.parquet") == [
        Instance("x", "x", "x", "x", None),
        Instance("y", "x", "x", "x", "x"),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(None, "there is no such file", id="missing file"),
        pytest.param(b"not Parquet", "cannot be read as Parquet", id="not Parquet"),
        pytest.param(rows_table(task=None, response=None), "lacks task, response", id="missing columns"),
        pytest.param(rows_table().slice(0, 0), "holds no instance", id="no row"),
        pytest.param(rows_table(prompt=pa.array([None], pa.string())), "prompt must not be null; 1 of 1", id="null"),
        pytest.param(rows_table(id=pa.array([3])), "column id must hold text; it holds int64", id="not text"),
    ],
)
def test_bad_row_files_are_refused(tmp_path: Path, table: pa.Table | bytes | None, message: str) -> None:
    path = tmp_path / "rows.parquet"
    if isinstance(table, bytes):
        path.write_bytes(table)
    elif table is not None:
        pq.write_table(table, path)
    with pytest.raises(TrainingError, match=rf"rows\.parquet.*{message}"):
        load_instances(path)
