"""One fine-tune on several devices: the program starts itself again under `torchrun`, once for each of them.

Every process has the whole model and takes its share of each step's micro-batches (distributed data parallel). The
first one alone reports and writes. Started by `torchrun` or `accelerate launch` from outside, it joins in as it is.
"""

import os
import sys
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_PROCESS = "RANK"  # set by torchrun and by accelerate launch


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get(_PROCESS, "0"))


def world_size() -> int:
    """Return how many processes work on this fine-tune."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Return the number of this process on its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_main() -> bool:
    """Return whether this process reports and writes."""
    return rank() == 0


def torchrun_command(module: str, arguments: Sequence[str], processes: int) -> list[str]:
    """Return the command that runs `python -m module` in so many processes of this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, "-m", module, *arguments]


def become_several(module: str, arguments: Sequence[str], processes: int) -> None:
    """Replace this process by `torchrun` where several are wanted and none was started yet.

    The process keeps its id, so whoever watches or ends it reaches `torchrun`, which ends its workers.
    """
    if processes > 1 and _PROCESS not in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
        os.execv(sys.executable, torchrun_command(module, arguments, processes))


def join(device: str) -> None:
    """Meet the other processes."""
    if world_size() > 1:
        import torch

        if device != "cpu":
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")


def agreed(value: T) -> T:
    """Return the first process's value, in every process."""
    if world_size() == 1:
        return value
    import torch.distributed

    shared = [value]
    torch.distributed.broadcast_object_list(shared)
    return shared[0]


def leave() -> None:
    """Say goodbye to the other processes."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
