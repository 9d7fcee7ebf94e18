"""A model in llama.cpp's GGUF format, made into the safetensors folder that everything else reads.

Reading a GGUF takes some 16 s each time, reading safetensors 2-3 s, so the conversion is done once.
"""

from pathlib import Path
from typing import Any

from smart_assets.core.errors import TrainingError
from smart_assets.training.loading import quiet_transformers


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file into an existing folder, the weights in float32.

    Raises:
        TrainingError: transformers cannot read the file.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet_transformers()
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise TrainingError(f"{gguf}: transformers cannot read it ({error}); it needs the package gguf") from error
    _forget_quantization(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _forget_quantization(model: Any) -> None:
    """Unmark the model as quantized: its weights are plain floats by now, and a marked one refuses to be saved."""
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
