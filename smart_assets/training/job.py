"""One fine-tune as a file: what the program `python -m smart_assets.training` reads, and its caller writes."""

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError

from smart_assets.errors import TrainingError
from smart_assets.section import Section
from smart_assets.training.settings import Finetune


class TrainingJob(Section):
    """Everything that a fine-tune needs to know."""

    rows: Path = Field(description="Parquet file of instances: id, task, prompt, response, messages (or null).")
    out: Path = Field(description="Folder to be made; it must not exist yet, and exists only when all is done.")
    model_cache: Path = Field(description="Folder for converted base models; may be shared and may be removed.")
    finetune: Finetune = Field(description="How to fine-tune.")
    seed: int = Field(ge=0, lt=2**32, description="Seed of the row order, of dropout and of the adapters' start.")
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda:\d+)$", description='"cpu", or a GPU such as "cuda:0".')

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a job.

        Raises:
            TrainingError: the file cannot be read, or breaks a rule; the message lists each field.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise TrainingError(f"{path}: the job cannot be read ({error.strerror})") from error
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'job'}: {one['msg']}" for one in error.errors())
            raise TrainingError(f"{path}: not a training job: {faults}") from error

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
