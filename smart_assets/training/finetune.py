"""One fine-tune from job to folder: the base model, the rows, the loop, and a record of all that went into it.

The folder holds `model/` (all weights, float32) or `adapter/` (LoRA), each with the tokenizer, `loss.parquet`,
`result.json` (what was done: equal jobs give equal bytes on a CPU) and `timing.json` (how long it took, and where).
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_assets.errors import TrainingError
from smart_assets.training.adapters import add_adapters, save_adapters
from smart_assets.training.base_model import BaseModel, resolve_base_model
from smart_assets.training.devices import compute_precision
from smart_assets.training.formatting import load_instances
from smart_assets.training.job import TrainingJob
from smart_assets.training.loading import load_causal_lm, load_tokenizer
from smart_assets.training.program import Log, written_beside
from smart_assets.training.record import Mixture, result_record, timing_record
from smart_assets.training.rows import encode_rows, training_order
from smart_assets.training.trainer import Run, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LONGEST_BY_DEFAULT = 4096


def finetune(job: TrainingJob, log: Log) -> None:
    """Fine-tune as the job says, and make its folder `out` when all is done.

    Raises:
        TrainingError: `out` exists, the base model or the rows cannot be used, or the loss is not finite.
    """
    if job.out.exists():
        raise TrainingError(f"{job.out}: exists already; name a folder that does not, or remove it first")
    started = time.monotonic()
    settings = job.finetune
    instances = load_instances(job.rows)
    base = resolve_base_model(settings.base_model, settings.revision, job.model_cache, settings.trust_remote_code, log)
    tokenizer = load_tokenizer(base.path, settings.trust_remote_code)
    run = Run(settings, job.seed, job.device, compute_precision(settings.precision, job.device), _pad_id(tokenizer))
    model = _load_model(base, run)
    max_length = _max_length(model.config, settings.max_length)
    mixture = Mixture(*encode_rows(tokenizer, instances, settings.prompt_format, max_length), max_length)
    _check_mixture(mixture, model, job.rows)
    log(_summary(mixture, run))
    order = training_order(
        [len(row.tokens) for row in mixture.rows], settings.epochs, settings.effective_batch, job.seed
    )
    with written_beside(job.out) as draft:
        ready = time.monotonic()
        progress = train(model, [mixture.rows[index] for index in order], run, draft, log)
        trained = time.monotonic()
        _save(model, tokenizer, base, draft)
        progress.write(draft / "loss.parquet")
        _write_json(draft / "result.json", result_record(run, base, mixture, progress.curve))
        seconds = {"prepare": ready - started, "train": trained - ready, "save": time.monotonic() - trained}
        _write_json(draft / "timing.json", timing_record(run, seconds, progress.curve))


def _load_model(base: BaseModel, run: Run) -> Any:
    """The model to train. Frozen weights may be bfloat16; trained ones are float32, or small updates would be lost."""
    settings = run.settings
    if settings.method == "full":
        return load_causal_lm(base.path, "float32", settings.trust_remote_code)
    frozen = load_causal_lm(base.path, run.precision, settings.trust_remote_code)
    return add_adapters(frozen, settings.lora, run.seed)


def _max_length(config: Any, wanted: int | None) -> int:
    """Tokens a row at most: as wanted, else what the model's positions allow, 4096 at most."""
    positions: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    if wanted is None:
        return min(positions or _LONGEST_BY_DEFAULT, _LONGEST_BY_DEFAULT)
    if positions is not None and wanted > positions:
        raise TrainingError(f"finetune.max_length must not exceed the model's {positions} positions; got {wanted}")
    return wanted


def _pad_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Any token will do: padding is masked in attention and in the loss."""
    wanted = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((token for token in wanted if isinstance(token, int)), 0)


def _check_mixture(mixture: Mixture, model: Any, path: Path) -> None:
    if not mixture.rows:
        first = mixture.dropped[0]
        raise TrainingError(
            f"{path}: none of the {len(mixture.dropped)} rows can be trained on (first, {first.id!r}: {first.reason}); "
            "raise finetune.max_length"
        )
    largest = int(max(row.tokens.max() for row in mixture.rows))
    known = model.get_input_embeddings().num_embeddings
    if largest >= known:
        raise TrainingError(
            f"the tokenizer gives token {largest}, the model knows {known}: they do not belong together"
        )


def _summary(mixture: Mixture, run: Run) -> str:
    truncated = sum(row.truncated for row in mixture.rows)
    return (
        f"{len(mixture.rows)} rows to train on ({truncated} of them with the start of the context cut off), "
        f"{len(mixture.dropped)} dropped; at most {mixture.max_length} tokens each; {run.precision} on {run.device}"
    )


def _save(model: Any, tokenizer: "PreTrainedTokenizerBase", base: BaseModel, out: Path) -> None:
    if hasattr(model, "peft_config"):
        folder = out / "adapter"
        save_adapters(model, base, folder)
    else:
        folder = out / "model"
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
