"""One fine-tune from job to folder: the base model, the rows, the loop, and a record of all that went into it.

The folder holds `model/` (all weights, float32) or `adapter/` (LoRA; `model/` too where they are to be merged), each
with the tokenizer, `loss.parquet`, `result.json` (what was done: equal jobs give equal bytes on a CPU), `timing.json`
(how long it took, and where) and `tensorboard/`.
"""

import importlib.util
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.core.errors import TrainingError
from smart_assets.core.files import move, new_folder
from smart_assets.core.progress import Log
from smart_assets.store.hashing import json_version
from smart_assets.training.adapters import adapted_model, save_adapters, save_merged
from smart_assets.training.base_model import BaseModel, resolve_base_model
from smart_assets.training.batches import micro_batches_a_step, training_batches
from smart_assets.training.devices import compute_precision
from smart_assets.training.distributed import agreed, is_main, join, leave, world_size
from smart_assets.training.failures import disk_advice, memory_advice
from smart_assets.training.formatting import load_instances
from smart_assets.training.job import TrainingJob
from smart_assets.training.loading import load_causal_lm, load_tokenizer
from smart_assets.training.progress import TrainingProgress, read_curve
from smart_assets.training.record import TrainingRows, left_out, not_written, result_record, timing_record
from smart_assets.training.row_encoder import row_encoder
from smart_assets.training.rows import encode_rows
from smart_assets.training.saved_steps import CURVE, SavedSteps, saved_steps
from smart_assets.training.settings import NOT_CONTENT, Finetune
from smart_assets.training.trainer import TrainingSetup, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LONGEST_BY_DEFAULT = 4096


def finetune(job: TrainingJob, log: Log) -> None:
    """Fine-tune as the job says, and make its folder `out` when all is done.

    Interrupted, an equal job goes on from the last saved step (`finetune.save_minutes`), to the same weights.

    Raises:
        TrainingError: `out` exists, the base model, a tracker or the rows cannot be used, the loss is not finite, or
            the memory or the disk is full.
    """
    if job.out.exists():
        raise TrainingError(f"{job.out}: exists already; name a folder that does not, or remove it first")
    started = time.monotonic()
    settings = job.finetune
    _require_trackers(settings)
    instances = load_instances(job.rows)
    base = resolve_base_model(settings.base_model, settings.revision, job.model_cache, settings.trust_remote_code, log)
    tokenizer = load_tokenizer(base.path, settings.trust_remote_code)
    encoder = row_encoder(tokenizer, settings)
    run = TrainingSetup(
        settings, job.seed, job.device, compute_precision(settings.precision, job.device), _pad_id(tokenizer)
    )
    with memory_advice(settings, job.device):
        model = _load_model(base, run)
    max_length = _max_length(model.config, settings.max_length)
    rows, dropped = encode_rows(encoder, instances, max_length)
    mixture = TrainingRows(rows, dropped, max_length, tuple(encoder.notes()))
    _check_mixture(mixture, model, job.rows)
    for line in (_summary(mixture, run), *left_out(mixture), *not_written(mixture), *mixture.notes):
        log(line)
    join(job.device)
    if not is_main():
        _train_along(model, mixture, run, job)
        return
    with disk_advice(job.out), saved_steps(_steps_folder(job), job_version(mixture, base, run), log) as steps:
        ready = time.monotonic()
        progress = _train(model, mixture, run, replace(steps, resume=agreed(steps.resume)), log)
        trained = time.monotonic()
        with new_folder(job.out) as draft:
            _save(model, tokenizer, base, settings, draft)
            progress.write(draft / CURVE)
            _write_json(draft / "result.json", result_record(run, base, mixture, progress.curve))
            seconds = {"prepare": ready - started, "train": trained - ready, "save": time.monotonic() - trained}
            _write_json(draft / "timing.json", timing_record(run, seconds, progress))
            move(steps.board, draft / "tensorboard")
    leave()


def _require_trackers(settings: Finetune) -> None:
    for name in settings.report_to:
        if importlib.util.find_spec(name) is None:
            raise TrainingError(
                f"finetune.report_to names {name!r}, whose package is not installed: install {name}, or take it out"
            )


def _steps_folder(job: TrainingJob) -> Path:
    return job.steps or job.out.with_name(f"{job.out.name}.steps")


def job_version(mixture: TrainingRows, base: BaseModel, run: TrainingSetup) -> str:
    """Return a hash of all that decides every step: a run goes on only from steps of an equal one."""
    import torch
    import transformers

    return json_version(
        {
            "tokens": mixture.tokens_sha256(),
            "settings": run.settings.model_dump(mode="json", exclude=set(NOT_CONTENT) | {"seeds", "base_model"}),
            "weights": base.weights_sha256,
            "seed": run.seed,
            "processes": world_size(),
            "device": [run.device.partition(":")[0], run.precision],
            "libraries": [torch.__version__, transformers.__version__],
        }
    )


def _train(model: Any, mixture: TrainingRows, run: TrainingSetup, steps: SavedSteps, log: Log) -> TrainingProgress:
    """Train on the mixture, from the newest saved step on."""
    settings = run.settings
    count = micro_batches_a_step(settings.effective_batch, settings.micro_batch, world_size())
    lengths = [len(row.tokens) for row in mixture.rows]
    batches = training_batches(lengths, settings.epochs, settings.effective_batch, count, run.seed)
    earlier = read_curve(steps.resume / CURVE) if steps.resume else []
    if earlier:
        log(f"going on from saved step {earlier[-1].step}")
    progress = TrainingProgress(len(batches) // count, log, earlier)
    return train(model, [[mixture.rows[place] for place in batch] for batch in batches], run, steps, progress)


def _train_along(model: Any, mixture: TrainingRows, run: TrainingSetup, job: TrainingJob) -> None:
    """Do what every process but the first does: the same steps, reporting and writing nothing."""
    _train(model, mixture, run, SavedSteps(_steps_folder(job), agreed(None)), lambda _: None)
    leave()


def _load_model(base: BaseModel, run: TrainingSetup) -> Any:
    """Return the model to train. Frozen weights may be bfloat16; trained ones are float32, for small updates."""
    if run.settings.method == "full":
        return load_causal_lm(base.path, "float32", run.settings.trust_remote_code)
    return adapted_model(base, run.settings, run.precision, run.seed, run.device)


def _max_length(config: Any, wanted: int | None) -> int:
    """Return tokens a row at most: as wanted, else what the model's positions allow, 4096 at most."""
    positions: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    if wanted is None:
        return min(positions or _LONGEST_BY_DEFAULT, _LONGEST_BY_DEFAULT)
    if positions is not None and wanted > positions:
        raise TrainingError(f"finetune.max_length must not exceed the model's {positions} positions; got {wanted}")
    return wanted


def _pad_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return a token to pad with. Any will do: padding is masked in attention and in the loss."""
    wanted = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((token for token in wanted if isinstance(token, int)), 0)


def _check_mixture(mixture: TrainingRows, model: Any, path: Path) -> None:
    if not mixture.rows:
        raise TrainingError(
            f"{path}: none of the {len(mixture.dropped)} rows can be trained on: {'; '.join(left_out(mixture))}; raise "
            "finetune.max_length, set finetune.system_turns: fold where system turns are refused, or "
            'finetune.prompt_format: "plain"'
        )
    largest = int(max(row.tokens.max() for row in mixture.rows))
    known = model.get_input_embeddings().num_embeddings
    if largest >= known:
        raise TrainingError(
            f"the tokenizer gives token {largest}, the model knows {known}: they do not belong together"
        )


def _summary(mixture: TrainingRows, run: TrainingSetup) -> str:
    truncated = sum(row.truncated for row in mixture.rows)
    named = sum(row.special_text for row in mixture.rows)
    return (
        f"{len(mixture.rows)} rows to train on ({truncated} of them with the middle of the prompt cut out, {named} "
        f"name special tokens, which are text there), {len(mixture.dropped)} left out; at most {mixture.max_length} "
        f"tokens each; {run.precision} on {run.device}"
    )


def _save(model: Any, tokenizer: "PreTrainedTokenizerBase", base: BaseModel, settings: Finetune, out: Path) -> None:
    if settings.method == "full":
        model.save_pretrained(out / "model")
    else:
        save_adapters(model, base, out / "adapter")
        tokenizer.save_pretrained(out / "adapter")
    if settings.merge:
        save_merged(out / "adapter", base, settings.trust_remote_code, out / "model")
    if (out / "model").exists():
        tokenizer.save_pretrained(out / "model")


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
