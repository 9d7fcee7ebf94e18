"""The model under evaluation, behind the interface that lm-eval asks its questions through.

It is loaded by the same functions as in training, so that tokens, chat template and weights are those of the
fine-tune. Weights are held in the compute precision: on 260 short rows bfloat16 took a third of the time of float32 and
moved the mean response loss by 0.004 nats, autocast over float32 weights took as long and moved it by 0.011. Token
probabilities are float32 either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from smart_assets.errors import EvaluationError
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.store.hashing import file_sha256
from smart_assets.training.base_model import resolve_base_model
from smart_assets.training.devices import ComputePrecision, compute_precision
from smart_assets.training.loading import load_causal_lm, load_tokenizer
from smart_assets.training.program import Log

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


MOST_LOGITS = 2**28
"""Logits of one batch: 1 GiB in float32."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A loaded model and what pins it."""

    lm: Any  # HFLM
    tokenizer: "PreTrainedTokenizerBase"
    prompt_format: Literal["chat", "plain"]
    precision: ComputePrecision
    record: dict[str, str | None]  # reference and revision of the base model, sha256 of weights and adapter


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
    chat = job.prompt_format == "chat" or (job.prompt_format == "auto" and bool(tokenizer.chat_template))
    lm = _reporting_lm(progress)(
        pretrained=model.to(job.device),
        tokenizer=tokenizer,
        batch_size=job.evaluate.batch_size,
        max_length=job.max_length,
        softmax_dtype="float32",
        # A chat template writes every special token itself; a plain prompt begins as the tokenizer begins any text.
        add_bos_token=False if chat else None,
    )
    return LanguageModel(lm, tokenizer, "chat" if chat else "plain", precision, record)


def batches_by_length(lengths: Sequence[int], most: int, vocabulary: int) -> list[tuple[int, list[int]]]:
    """Group rows of those token counts by how many of them go at once, the longest first.

    lm-eval keeps the logits of all tokens of a batch: 16 rows of 8,192 tokens are 13 GB of them in bfloat16, and as
    much again twice over in the softmax. So a batch holds at most `MOST_LOGITS`, and one row at least; sizes are powers
    of two or `most`, so that there are few groups.
    """
    groups: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        fits = max(1, MOST_LOGITS // (max(1, length) * vocabulary))
        groups.setdefault(most if fits >= most else 1 << (fits.bit_length() - 1), []).append(place)
    return sorted(groups.items())


def _with_adapter(model: Any, folder: Path) -> tuple[Any, str]:
    """The model under its adapter, left unmerged (merging into bfloat16 weights would round it), and its sha256."""
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


def _reporting_lm(progress: RequestProgress) -> Any:
    """lm-eval's class for transformers models, telling its progress in lines instead of bars."""
    from lm_eval.models.huggingface import HFLM

    base: Any = HFLM  # its decorator hides its type

    class ReportingLM(base):
        def loglikelihood(self, requests: Any, **_: Any) -> Any:
            progress.begin(len(requests))
            return super().loglikelihood(requests, disable_tqdm=True)

        def loglikelihood_rolling(self, requests: Any, **_: Any) -> Any:
            progress.begin(len(requests))
            return super().loglikelihood_rolling(requests, disable_tqdm=True)

        def generate_until(self, requests: Any, **_: Any) -> Any:
            progress.begin(len(requests))
            return super().generate_until(requests, disable_tqdm=True)

        def _loglikelihood_tokens(self, requests: Any, *arguments: Any, **options: Any) -> Any:
            lengths = [min(len(context) + len(response), self.max_length) for _, context, response in requests]
            answers: dict[int, Any] = {}
            for size, places in batches_by_length(lengths, int(self.batch_size_per_gpu), int(self.vocab_size)):
                most, self.batch_size_per_gpu = self.batch_size_per_gpu, size
                found = super()._loglikelihood_tokens([requests[place] for place in places], *arguments, **options)
                self.batch_size_per_gpu = most
                answers.update(zip(places, found, strict=True))
            return [answers[place] for place in range(len(requests))]

        def _model_call(self, inps: Any, attn_mask: Any = None, labels: Any = None) -> Any:
            logits = super()._model_call(inps, attn_mask, labels)
            progress.advance(len(inps))
            return logits

        def _model_generate(self, context: Any, max_length: int, stop: list[str], **generation: Any) -> Any:
            tokens = super()._model_generate(context, max_length, stop, **generation)
            progress.advance(len(context))
            return tokens

    return ReportingLM
