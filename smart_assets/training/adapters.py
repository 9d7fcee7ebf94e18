"""Low-rank adapters on a base model, by the peft library."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from smart_assets.errors import TrainingError
from smart_assets.training.base_model import BaseModel
from smart_assets.training.settings import Lora

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def add_adapters(model: "PreTrainedModel", lora: Lora, seed: int) -> "PeftModel":
    """Freeze a model and give it adapters, whose start depends on the seed alone; they are float32.

    Raises:
        TrainingError: the model has no layer of a name in `target_modules`.
    """
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import set_seed

    set_seed(seed)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear" if lora.target_modules is None else lora.target_modules,
    )
    try:
        return cast(PeftModel, get_peft_model(model, config))
    except ValueError as error:
        raise TrainingError(f"finetune.lora.target_modules {lora.target_modules}: {error}") from error


def save_adapters(model: Any, base: BaseModel, folder: Path) -> None:
    """Write the adapters as safetensors; they name their base model as the user did, not by a path of this machine."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = base.reference
    config.revision = base.revision
    config.target_modules = sorted(config.target_modules)  # a set: its order would differ from run to run
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()  # a model card full of blanks
