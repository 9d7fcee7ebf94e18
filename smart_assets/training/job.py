"""One fine-tune as a file: what the program `python -m smart_assets.training` reads, and its caller writes."""

from pathlib import Path

from pydantic import Field

from smart_assets.core.errors import TrainingError
from smart_assets.training.job_file import JobFile
from smart_assets.training.settings import Finetune


class TrainingJob(JobFile):
    """Everything that a fine-tune needs to know."""

    refusal = TrainingError

    rows: Path = Field(description="Parquet file of instances: id, task, prompt, response, messages (or null).")
    model_cache: Path = Field(description="Folder for converted base models; may be shared and may be removed.")
    finetune: Finetune = Field(description="How to fine-tune.")
    seed: int = Field(ge=0, lt=2**32, description="Seed of the row order, of dropout and of the adapters' start.")
    steps: Path | None = Field(
        default=None,
        description="Folder of saved steps, which an interrupted job goes on from; default: beside `out`.",
    )
    processes: int = Field(
        default=1, ge=1, le=1024, description="Processes on this machine that share the work: one a GPU (torchrun)."
    )
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda:\d+)$", description='"cpu", or a GPU such as "cuda:0".')
