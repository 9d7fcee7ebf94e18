import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from smart_assets.core.errors import TrainingError
from smart_assets.training.devices import compute_precision
from smart_assets.training.finetune import finetune
from smart_assets.training.formatting import ChatInstance
from smart_assets.training.job import TrainingJob
from smart_assets.training.loading import load_causal_lm, load_tokenizer
from smart_assets.training.progress import TrainingProgress
from smart_assets.training.rows import encode_rows
from smart_assets.training.saved_steps import SavedSteps
from smart_assets.training.settings import Finetune
from smart_assets.training.trainer import TrainingSetup, train
from smart_assets_tests.support.row_encoders import encoder_of
from smart_assets_tests.support.tiny_model import make_tiny_model
from smart_assets_tests.support.training_jobs import SUMS, make_job


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"), chat=True)


def run(job: TrainingJob) -> dict[str, Any]:
    lines: list[str] = []
    finetune(job, lines.append)
    assert any(line.startswith("step 1/") for line in lines)
    return json.loads((job.out / "result.json").read_text())


def test_training_lowers_the_loss_and_tells_all_of_it(tmp_path: Path, base: Path) -> None:
    job = make_job(tmp_path, base, epochs=4)
    result = run(job)
    curve = pq.read_table(job.out / "loss.parquet").to_pydict()
    assert curve["step"] == list(range(1, 11))
    assert curve["loss"][-1] < curve["loss"][0] - 1
    assert curve["learning_rate"][0] == pytest.approx(1e-2)
    assert (result["rows"], result["steps"], result["tasks"]) == (40, 10, {"t0": 20, "t1": 20})
    assert result["final_loss"] == curve["loss"][-1]
    assert result["mean_last_losses"] == pytest.approx(sum(curve["loss"]) / 10)
    assert result["base_model"]["reference"] == str(base)
    assert (result["precision"], result["device"], result["seed"]) == ("float32", "cpu", 0)
    assert (result["dropped"], result["truncated"]) == ([], [])
    assert result["hyperparameters"]["max_length"] == 512
    timing = json.loads((job.out / "timing.json").read_text())
    assert set(timing["seconds"]) == {"prepare", "train", "save"}
    assert timing["peak_memory_bytes"] > 10**7
    assert sum(curve["tokens"]) / timing["seconds"]["train"] == pytest.approx(timing["tokens_per_second"], rel=0.05)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "rows.parquet"]


def test_a_trained_model_loads_like_any_other(tmp_path: Path, base: Path) -> None:
    job = make_job(tmp_path, base)
    run(job)
    model = load_causal_lm(job.out / "model", "float32", trust_remote_code=False)
    assert model.config.use_cache
    assert load_tokenizer(job.out / "model", trust_remote_code=False).chat_template
    assert str(tmp_path) not in (job.out / "model" / "config.json").read_text()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_equal_jobs_give_equal_bytes(tmp_path: Path, base: Path, method: str) -> None:
    jobs = [make_job(tmp_path / name, base, method=method, lora={"dropout": 0.1}) for name in ("one", "two")]
    for job in jobs:
        run(job)
    files = sorted(path.relative_to(jobs[0].out) for path in jobs[0].out.rglob("*") if path.is_file())
    for file in files:
        if file.name != "timing.json" and file.parent.name != "tensorboard":
            assert (jobs[0].out / file).read_bytes() == (jobs[1].out / file).read_bytes(), file


def test_another_seed_gives_another_model(tmp_path: Path, base: Path) -> None:
    job = make_job(tmp_path, base)
    results = [run(job), run(job.model_copy(update={"seed": 1, "out": tmp_path / "other"}))]
    assert results[0]["final_loss"] != results[1]["final_loss"]


def test_the_micro_batch_changes_memory_and_not_the_result(tmp_path: Path, base: Path) -> None:
    pairs = [(prompt, response * (1 + index % 4)) for index, (prompt, response) in enumerate(SUMS)]
    losses = [
        run(make_job(tmp_path / str(micro), base, pairs, micro_batch=micro))["final_loss"] for micro in (1, 4, 16)
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)


def test_an_adapter_reloads_on_its_base_model(tmp_path: Path, base: Path) -> None:
    import torch
    from peft import PeftModel

    job = make_job(tmp_path, base, method="lora", epochs=4)
    result = run(job)
    curve = pq.read_table(job.out / "loss.parquet").to_pydict()["loss"]
    assert curve[-1] < curve[0]
    assert result["hyperparameters"]["lora"]["rank"] == 16
    plain = load_causal_lm(base, "float32", trust_remote_code=False)
    before = plain(torch.arange(9)[None]).logits
    adapted = PeftModel.from_pretrained(plain, job.out / "adapter")
    assert not torch.allclose(adapted(torch.arange(9)[None]).logits, before)
    assert not list((job.out / "adapter").glob("*.bin"))


def test_merged_weights_answer_as_base_and_adapter_do(tmp_path: Path, base: Path) -> None:
    import torch
    from peft import PeftModel

    job = make_job(tmp_path, base, method="lora", merge=True)
    run(job)
    adapted = PeftModel.from_pretrained(load_causal_lm(base, "float32", trust_remote_code=False), job.out / "adapter")
    merged = load_causal_lm(job.out / "model", "float32", trust_remote_code=False)
    assert load_tokenizer(job.out / "model", trust_remote_code=False).chat_template
    tokens = torch.arange(9)[None]
    torch.testing.assert_close(merged(tokens).logits, adapted(tokens).logits, rtol=1e-4, atol=1e-5)


def test_qlora_trains_adapters_on_four_bits(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    # On some processors bitsandbytes packs weights by 32 rows.
    wide = make_tiny_model(tmp_path / "wide", chat=True, width=64)
    job = make_job(tmp_path, wide, method="qlora", epochs=4)
    run(job)
    curve = pq.read_table(job.out / "loss.parquet").to_pydict()["loss"]
    assert curve[-1] < curve[0]
    assert (job.out / "adapter" / "adapter_model.safetensors").exists()
    assert not (job.out / "model").exists()


def test_qlora_without_its_package_says_so(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"needs the package bitsandbytes: pip install 'smart-assets\[qlora\]'"):
        finetune(make_job(tmp_path, base, method="qlora"), lambda line: None)


def test_a_tracker_without_its_package_is_named_before_anything_is_done(tmp_path: Path, base: Path) -> None:
    with pytest.raises(TrainingError, match="report_to names 'neptune', whose package is not installed"):
        finetune(make_job(tmp_path, base, report_to=["neptune"]), lambda line: None)


def test_tensorboard_shows_the_loss_of_every_step(tmp_path: Path, base: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    job = make_job(tmp_path, base)
    run(job)
    events = EventAccumulator(str(job.out / "tensorboard"))
    events.Reload()
    shown = {event.step: event.value for event in events.Scalars("train/loss")}
    curve = pq.read_table(job.out / "loss.parquet").to_pydict()
    assert shown == pytest.approx(dict(zip(curve["step"], curve["loss"], strict=True)))


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path: Path, base: Path) -> None:
    plain, checkpointed = (make_job(tmp_path / str(on), base, gradient_checkpointing=on) for on in (False, True))
    run(plain)
    run(checkpointed)
    weights = [(job.out / "model" / "model.safetensors").read_bytes() for job in (plain, checkpointed)]
    assert weights[0] == weights[1]


def test_bfloat16_reaches_the_matrix_products(tmp_path: Path, base: Path) -> None:
    import torch

    model = load_causal_lm(base, "float32", trust_remote_code=False)
    tokenizer = load_tokenizer(base, trust_remote_code=False)
    rows, _ = encode_rows(encoder_of(tokenizer), [ChatInstance("a", "t", *SUMS[0], None)], 512)
    seen: set[torch.dtype] = set()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda _layer, _inputs, output: seen.add(output.dtype))
    settings = Finetune(base_model=str(base), effective_batch=1, micro_batch=1)
    run = TrainingSetup(settings, 0, "cpu", "bfloat16", 2)
    train(model, [rows], run, SavedSteps(tmp_path), TrainingProgress(1, lambda line: None))
    assert seen == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_rows_left_out_or_cut_are_named(tmp_path: Path, base: Path) -> None:
    pairs = [("Say no.", "No."), ("Say it.", "word " * 60), ("word " * 60, "No.")]
    result = run(make_job(tmp_path, base, pairs, max_length=48, prompt_format="plain"))
    assert [row["id"] for row in result["dropped"]] == ["r1"]
    assert "max_length is 48" in result["dropped"][0]["reason"]
    assert result["truncated"] == ["r2"]
    assert result["rows"] == 2


def test_a_loss_that_is_not_finite_says_what_to_change(tmp_path: Path, base: Path) -> None:
    import torch

    broken = load_causal_lm(base, "float32", trust_remote_code=False)
    with torch.no_grad():
        broken.get_input_embeddings().weight[5:].fill_(float("nan"))
    broken.save_pretrained(tmp_path / "broken")
    load_tokenizer(base, trust_remote_code=False).save_pretrained(tmp_path / "broken")
    with pytest.raises(TrainingError, match=r"diverged at step 1 of 3: loss nan.*lower finetune\.learning_rate"):
        run(make_job(tmp_path, tmp_path / "broken"))
    assert not any("out" in path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "pairs", "message"),
    [
        pytest.param({}, [], "holds no instance", id="no rows"),
        pytest.param(
            {"max_length": 16}, [("Say.", "word " * 60)], "none of the 1 rows can be trained on", id="no room"
        ),
        pytest.param({"max_length": 513}, SUMS, "must not exceed the model's 512 positions; got 513", id="too long"),
        pytest.param({"base_model": "./nowhere"}, SUMS, "'./nowhere': not a folder", id="unknown model"),
        pytest.param(
            {"method": "lora", "lora": {"target_modules": ["nothing"]}}, SUMS, "target_modules", id="unknown layer"
        ),
    ],
)
def test_jobs_that_cannot_run_are_refused(
    tmp_path: Path, base: Path, settings: dict[str, Any], pairs: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        finetune(make_job(tmp_path, base, pairs, **settings), lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_an_existing_folder_is_never_written_to(tmp_path: Path, base: Path) -> None:
    job = make_job(tmp_path, base)
    job.out.mkdir()
    with pytest.raises(TrainingError, match="out: exists already"):
        run(job)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, base: Path) -> None:
    model = load_causal_lm(base, "float32", trust_remote_code=False)
    model.resize_token_embeddings(10)
    model.save_pretrained(tmp_path / "small")
    load_tokenizer(base, trust_remote_code=False).save_pretrained(tmp_path / "small")
    with pytest.raises(TrainingError, match="the model knows 10: they do not belong together"):
        run(make_job(tmp_path, tmp_path / "small"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"effective_batch": 12, "micro_batch": 8}, "multiple of micro_batch; got 12 and 8", id="batches"),
        pytest.param({"seeds": [1, 1]}, "seeds must differ", id="equal seeds"),
        pytest.param({"seeds": [-1]}, "seeds must differ and lie in", id="negative seed"),
        pytest.param({"seeds": []}, "at least 1 item", id="no seed"),
        pytest.param({"learning_rate": 0}, "greater than 0", id="learning rate"),
        pytest.param({"learn_rate": 1}, "Extra inputs are not permitted", id="unknown field"),
        pytest.param({"method": "dora"}, "'full', 'lora' or 'qlora'", id="unknown method"),
        pytest.param({"method": "qlora", "merge": True}, "merge is for method", id="merged 4-bit weights"),
        pytest.param({"report_to": ["paper"]}, "'wandb', 'mlflow'", id="unknown tracker"),
        pytest.param({"save_minutes": -1}, "greater than or equal to 0", id="save minutes"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Finetune.model_validate({"base_model": "m"} | settings)


def test_precision_is_what_was_asked_for() -> None:
    assert compute_precision("float32", "cpu") == "float32"
    assert compute_precision("bfloat16", "cpu") == "bfloat16"
    assert compute_precision("auto", "cpu") in ("float32", "bfloat16")
