"""Low-rank adapters on a base model, by the peft library; under QLoRA its weights are held in 4 bits (bitsandbytes)."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from smart_assets.core.errors import TrainingError
from smart_assets.training.base_model import BaseModel
from smart_assets.training.devices import ComputePrecision
from smart_assets.training.loading import load_causal_lm
from smart_assets.training.settings import Finetune, Lora

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def without_adapters(model: Any) -> Any:
    """Return the transformers model under adapters; the model itself where there are none."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def adapted_model(base: BaseModel, settings: Finetune, precision: ComputePrecision, seed: int, device: str) -> Any:
    """Return the base model frozen, in the compute precision or (qlora) in 4 bits, with adapters to train.

    Raises:
        TrainingError: the model cannot be loaded, bitsandbytes is missing, or `target_modules` names no layer.
    """
    if settings.method == "lora":
        return add_adapters(load_causal_lm(base.path, precision, settings.trust_remote_code), settings.lora, seed)
    from peft import prepare_model_for_kbit_training

    frozen = load_causal_lm(
        base.path, precision, settings.trust_remote_code, quantization_config=_four_bits(precision), device_map=device
    )
    ready = prepare_model_for_kbit_training(frozen, use_gradient_checkpointing=settings.gradient_checkpointing)
    return add_adapters(ready, settings.lora, seed)


def _four_bits(precision: ComputePrecision) -> Any:
    """Return NF4 with double quantization (Dettmers et al. 2023, section 3)."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainingError(
            "finetune.method \"qlora\" needs the package bitsandbytes: pip install 'smart-assets[qlora]', "
            'or set the method to "lora"'
        )
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, precision),
    )


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


def save_merged(adapter: Path, base: BaseModel, trust_remote_code: bool, folder: Path) -> None:
    """Write the base model with a saved adapter merged into its float32 weights."""
    from peft import PeftModel

    model = load_causal_lm(base.path, "float32", trust_remote_code)
    merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.save_pretrained(folder)
