"""Each trainer's own code reads what `smart export --for` writes for it; skipped where its package is not there.

None of them is a dependency of this project: `pip install --no-deps trl llamafactory axolotl` into a folder of
PYTHONPATH is enough, and a checkout of open-instruct beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from smart_assets.documents.export import write_subset
from smart_assets.documents.trainers.write import find_trainer, write_for
from smart_assets_tests.support.exported_subsets import ROWS, TOOL_ROWS, TOOLS, subset_of

TEMPLATE = (
    "{% if tools %}<|tools|>{{ tools | tojson }}<|end|>{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% if 'tool_calls' in m %}{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments | tojson }}"
    "{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ARGUMENTS = '{"city": "Oslo", "days": 2}'
LEARNT = ["Warm.", "Warm.", "Warm.", "Warm.", f"warmth{ARGUMENTS}"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """One token a character, and the marks of the template."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    marks = ["<|end|>", "<|unknown|>", *(f"<|{name}|>" for name in ("tools", "system", "user", "assistant", "tool"))]
    vocabulary = {mark: place for place, mark in enumerate(marks)}
    vocabulary |= {chr(code): code for code in range(32, 127)}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    fast.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made = PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="<|end|>", unk_token="<|unknown|>")
    made.add_special_tokens({"additional_special_tokens": marks[2:]})
    made.chat_template = TEMPLATE
    return made


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is written for the trainer that a test names, as the folder that commands are run in."""
    export = write_for(find_trainer(request.param), subset_of([*ROWS, *TOOL_ROWS]), tmp_path / "out")
    assert (export.rows, export.left_out) == (5, [])
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "out"


def learnt(tokenizer: Any, labels: Sequence[int]) -> str:
    """What of a row is learnt, without the end of the turn."""
    tokens = tokenizer.convert_ids_to_tokens([label for label in labels if label != -100])
    return "".join(tokens).removesuffix("<|end|>")


@pytest.mark.parametrize("folder", ["axolotl"], indirect=True)
def test_axolotl(folder: Path, tokenizer: Any) -> None:
    strategies = pytest.importorskip("axolotl.prompt_strategies.chat_template", exc_type=ImportError)
    schemas = pytest.importorskip("axolotl.utils.schemas.datasets", exc_type=ImportError)
    import datasets

    [block] = yaml.safe_load((folder / "axolotl.yaml").read_text())["datasets"]
    config = schemas.SFTDataset(**block)
    assert block.keys() <= schemas.SFTDataset.model_fields.keys()
    prompter = strategies.ChatTemplatePrompter(
        tokenizer,
        TEMPLATE,
        message_property_mappings=config.message_property_mappings,
        message_field_training=config.message_field_training,
        field_messages=config.field_messages,
        field_tools=config.field_tools,
    )
    strategy = strategies.ChatTemplateStrategy(
        prompter,
        tokenizer,
        train_on_inputs=False,
        sequence_len=4096,
        roles_to_train=config.roles_to_train,
        train_on_eos=config.train_on_eos,
    )
    rows = datasets.load_dataset(config.ds_type, data_files=config.path, split="train")
    encoded = [strategy.tokenize_prompt(dict(row)) for row in rows]
    assert [learnt(tokenizer, row["labels"]) for row in encoded] == LEARNT
    text = "".join(tokenizer.convert_ids_to_tokens(encoded[3]["input_ids"]))
    assert f"warmth{ARGUMENTS}" in text
    assert text.startswith("<|tools|>")


@pytest.mark.parametrize("folder", ["llamafactory"], indirect=True)
def test_llama_factory(folder: Path, tokenizer: Any) -> None:
    parser = pytest.importorskip("llamafactory.data.parser", exc_type=ImportError)
    converter = pytest.importorskip("llamafactory.data.converter", exc_type=ImportError)
    formatter = pytest.importorskip("llamafactory.data.formatter", exc_type=ImportError)
    template = pytest.importorskip("llamafactory.data.template", exc_type=ImportError)
    supervised = pytest.importorskip("llamafactory.data.processor.supervised", exc_type=ImportError)
    import datasets

    lines = yaml.safe_load((folder / "llamafactory.yaml").read_text())
    [attributes] = parser.get_dataset_list([lines["dataset"]], lines["dataset_dir"])
    path = Path(lines["dataset_dir"], attributes.dataset_name)
    rows = datasets.load_dataset("json", data_files=str(path), split="train")
    convert = converter.get_dataset_converter(attributes.formatting, attributes, SimpleNamespace(media_dir="."))
    read = [convert(row) for row in rows]
    assert [row["_response"] for row in read[:4]] == [[{"role": "assistant", "content": "Warm."}]] * 4
    assert [row["_system"] for row in read] == ["", "Be brief.", "", "Be brief.", ""]
    assert [turn["role"] for turn in read[3]["_prompt"]] == ["user", "function", "observation"]
    [called] = read[4]["_response"]
    assert called["role"] == "function"
    calls = formatter.FunctionFormatter(slots=["{{content}}"], tool_format="qwen").apply(content=called["content"])
    assert ARGUMENTS in calls[0]
    settings = SimpleNamespace(mask_history=lines["mask_history"], train_on_prompt=False, cutoff_len=8192)
    encode = supervised.SupervisedDatasetProcessor(template.TEMPLATES["qwen"], tokenizer, None, settings)
    encoded = encode.preprocess_dataset({name: [row[name] for row in read] for name in read[0]})
    said = [learnt(tokenizer, labels).partition("<|im_end|>")[0] for labels in encoded["labels"]]
    assert said[:4] == ["Warm."] * 4
    assert ARGUMENTS in said[4]
    for style in ("default", "qwen", "llama3", "glm4", "mistral"):
        [told] = formatter.ToolFormatter(tool_format=style).apply(content=read[3]["_tools"])
        assert all(tool["function"]["name"] in told for tool in TOOLS), style


@pytest.mark.parametrize("folder", ["open-instruct"], indirect=True)
def test_open_instruct(folder: Path, tokenizer: Any) -> None:
    transformation = pytest.importorskip("open_instruct.dataset_transformation", exc_type=ImportError)
    words = (folder / "open_instruct.flags").read_text().split()
    start = words.index("--dataset_transform_fn") + 1
    names = words[start : start + 2]
    mixer = words.index("--dataset_mixer_list")
    config = transformation.DatasetConfig(dataset_name=words[mixer + 1], dataset_split="train", dataset_revision="main")
    encode, keep = (transformation.TRANSFORM_FNS[name][0] for name in names)
    encoded = [encode(dict(row), tokenizer, 4096) for row in config.dataset]
    assert [learnt(tokenizer, row["labels"].tolist()) for row in encoded] == LEARNT
    assert all(keep(row, tokenizer) for row in encoded)
    text = "".join(tokenizer.convert_ids_to_tokens(encoded[3]["input_ids"].tolist()))
    assert f"warmth{ARGUMENTS}" in text
    assert text.startswith("<|tools|>")


@pytest.mark.parametrize("folder", ["trl"], indirect=True)
def test_trl(folder: Path, tokenizer: Any) -> None:
    trl = pytest.importorskip("trl", exc_type=ImportError)
    sft = pytest.importorskip("trl.scripts.sft", exc_type=ImportError)
    words = ["--config", "trl.yaml", "--model_name_or_path", "MODEL", "--output_dir", str(folder / "out")]
    _, training, _, mixture = sft.make_parser().parse_args_and_config(
        [*words, "--bf16", "false", "--report_to", "none"], fail_with_unknown_args=True
    )
    assert training.completion_only_loss
    rows = trl.get_dataset(mixture)["train"]
    assert trl.is_conversational(rows[0])
    trainer: Any = SimpleNamespace(
        _tokenizer=tokenizer, chat_template=None, completion_only_loss=training.completion_only_loss
    )
    ready = trl.SFTTrainer._prepare_dataset(trainer, rows, tokenizer, training, False, None, "train")
    assert [learnt(tokenizer, labels) for labels in ready["labels"]] == LEARNT
    text = "".join(tokenizer.convert_ids_to_tokens(ready["input_ids"][3]))
    assert f"warmth{ARGUMENTS}" in text
    assert text.startswith("<|tools|>")


def test_trl_takes_the_chats_of_a_folder_as_conversations(tmp_path: Path, tokenizer: Any) -> None:
    trl = pytest.importorskip("trl", exc_type=ImportError)
    import datasets

    write_subset(subset_of(ROWS), tmp_path / "folder")
    rows = datasets.load_dataset(str(tmp_path / "folder"), "chats", split="train", cache_dir=str(tmp_path / "cache"))
    assert trl.is_conversational(rows[1])
    [text] = trl.apply_chat_template(rows[1], tokenizer).values()
    assert text == "<|system|>Be brief.<|end|><|user|>How warm is it in Oslo?<|end|><|assistant|>Warm.<|end|>"
