"""The device a program computes on: whether it is there, in which precision it is fast, and what to call it."""

import os
import platform
import re
from pathlib import Path
from typing import Literal

from smart_assets.core.errors import TrainingError
from smart_assets.training.distributed import local_rank, world_size
from smart_assets.training.settings import Precision

ComputePrecision = Literal["float32", "bfloat16"]

_CPU_FILE = Path("/proc/cpuinfo")


def claim_device(device: str) -> str:
    """Make `device` the only one this process sees, and return its name from now on: "cpu" or "cuda:0".

    To be called before torch is imported: libraries that would spread a model over all the GPUs they see then cannot.
    One of several processes has the GPU of its own number, and goes on seeing the others.

    Raises:
        TrainingError: torch sees no such GPU.
    """
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return device
    if world_size() > 1:
        return f"cuda:{local_rank()}"
    number = int(device.removeprefix("cuda:"))
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = None if given is None else given.split(",")
    if visible is None or number < len(visible):
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number) if visible is None else visible[number]
        import torch

        if torch.cuda.is_available():
            return "cuda:0"
    raise TrainingError(
        f"device {device!r}: torch sees no such GPU (CUDA_VISIBLE_DEVICES={given!r}); "
        'name another one, "cpu", or install a CUDA build of torch'
    )


def compute_precision(wanted: Precision, device: str) -> ComputePrecision:
    """Return the precision of the matrix products; "auto" is bfloat16 where the device has instructions for it.

    Raises:
        TrainingError: bfloat16 is wanted of a GPU that cannot do it.
    """
    if wanted == "float32":
        return wanted
    if device == "cpu":
        return "bfloat16" if wanted == "bfloat16" or _cpu_has_bfloat16() else "float32"
    import torch

    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    if wanted == "bfloat16":
        raise TrainingError(f'precision "bfloat16": {hardware_name(device)} cannot compute in it; set "float32"')
    return "float32"


def hardware_name(device: str) -> str:
    """Return what the device is sold as, for the record beside a measured time."""
    if device != "cpu":
        import torch

        return torch.cuda.get_device_name(device)
    named = re.search(r"^model name\s*: (.+)$", _cpu_description(), re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def peak_memory_bytes(device: str) -> int:
    """Return the most memory this process has held so far: resident memory, or on a GPU what torch allocated there."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def _cpu_has_bfloat16() -> bool:
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", _cpu_description()) is not None


def _cpu_description() -> str:
    return _CPU_FILE.read_text(encoding="utf-8") if _CPU_FILE.exists() else ""
