"""The model under evaluation, behind the interface that lm-eval asks its questions through.

It is loaded by the same functions as in training, so that tokens, chat template and weights are those of the
fine-tune. Weights are held in the compute precision: on 260 short rows bfloat16 took a third of the time of float32 and
moved the mean response loss by 0.004 nats, autocast over float32 weights took as long and moved it by 0.011. Token
probabilities are float32 either way.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from smart_assets.core.errors import EvaluationError
from smart_assets.evaluation.answer_cache import AnswerCache
from smart_assets.evaluation.batched_lm import Batcher, reporting_lm
from smart_assets.evaluation.batches import batch_limits
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.store.hashing import file_sha256, json_version
from smart_assets.training.base_model import resolve_base_model
from smart_assets.training.devices import ComputePrecision, compute_precision, hardware_name
from smart_assets.training.loading import load_causal_lm, load_tokenizer
from smart_assets.training.program import Log
from smart_assets.training.row_encoder import RowEncoder, row_encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A loaded model and what pins it."""

    lm: Any  # HFLM
    tokenizer: "PreTrainedTokenizerBase"
    encoder: RowEncoder
    precision: ComputePrecision
    record: dict[str, str | None]  # reference and revision of the base model, sha256 of weights and adapter
    answers: AnswerCache

    @property
    def prompt_format(self) -> Literal["chat", "plain"]:
        """That of rows and of lm-eval's tasks."""
        return self.encoder.prompt_format


def load_language_model(job: EvaluationJob, progress: RequestProgress, log: Log) -> LanguageModel:
    """Load the checkpoint, or the base model and its adapter, onto the job's device.

    Raises:
        EvaluationError: a folder is missing, or the adapter does not fit the base model.
        TrainingError: the model cannot be found or loaded.
    """
    if job.model is not None and not job.model.is_dir():
        raise EvaluationError(f"model {job.model}: there is no such folder; name the folder of a checkpoint")
    weights = resolve_base_model(job.reference, job.revision, job.model_cache, job.trust_remote_code, log)
    tokenizer = load_tokenizer(weights.path, job.trust_remote_code)
    precision = compute_precision(job.precision, job.device)
    model: Any = load_causal_lm(weights.path, precision, job.trust_remote_code)
    # The place of a checkpoint says nothing about it, the name of a base model does.
    named = {"reference": weights.reference, "revision": weights.revision} if job.model is None else {}
    record = {**named, "weights_sha256": weights.weights_sha256}
    if job.adapter is not None:
        model, record["adapter_sha256"] = _with_adapter(model, job.adapter)
    encoder = row_encoder(tokenizer, job)
    model = model.to(job.device)
    limits = batch_limits(job.evaluate.batch_size, job.device)
    log(f"batches of at most {limits.rows} rows and {limits.logits:,} logits (batch_size: {job.evaluate.batch_size})")
    identity = {**record, "precision": precision, "max_length": job.max_length, "device": hardware_name(job.device)}
    answers = AnswerCache(answers_file(job, weights.path, identity), log)
    lm = reporting_lm(Batcher(limits, answers, progress))(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=limits.rows,
        max_length=job.max_length,
        softmax_dtype="float32",
        # A chat template writes every special token itself; a plain prompt begins as the tokenizer begins any text.
        add_bos_token=False if encoder.template else None,
        chat_template_args={"chat_template": encoder.template.source} if encoder.template else None,
    )
    return LanguageModel(lm, tokenizer, encoder, precision, record, answers)


def answers_file(job: EvaluationJob, weights: Path, identity: dict[str, str | int | None]) -> Path | None:
    """Return where the model's answers are kept: a name of all that decides them, its code and libraries included."""
    if job.cache is None:
        return None
    import lm_eval
    import torch
    import transformers

    small = [path for path in sorted(weights.iterdir()) if path.is_file() and path.suffix != ".safetensors"]
    if job.adapter is not None:
        small.append(job.adapter / "adapter_config.json")
    files = [(path.name, file_sha256(path)) for path in small if path.is_file()]
    packages = [lm_eval.__version__, torch.__version__, transformers.__version__]
    unnamed = {name: value for name, value in identity.items() if name not in ("reference", "revision")}
    return job.cache / f"{json_version([unnamed, files, packages, job.prompt_format])}.sqlite"


def _with_adapter(model: Any, folder: Path) -> tuple[Any, str]:
    """Return the model under its adapter, not merged (bfloat16 weights would round it), and the adapter's sha256."""
    from peft import PeftModel
    from safetensors import SafetensorError

    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise EvaluationError(f"adapter {folder}: holds no {weights.name}; name the folder of a LoRA adapter")
    try:
        return PeftModel.from_pretrained(model, str(folder)), file_sha256(weights)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise EvaluationError(f"adapter {folder}: does not fit its base model: {reason}") from error
