"""The job file of a program: what it is to do, as JSON, so that a person can start it as well as Dagster.

`TrainingJob` is what `python -m smart_assets.training` reads and its caller writes.
"""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, ValidationError

from smart_assets.core.errors import SmartError, TrainingError
from smart_assets.core.section import Section
from smart_assets.training.settings import Finetune


class JobFile(Section):
    """Read by a program, written by its caller; each program adds its own fields."""

    refusal: ClassVar[type[SmartError]]
    """What a file that is no such job raises."""

    out: Path = Field(description="Folder to be made; it must not exist yet, and exists only when all is done.")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a job.

        Raises:
            SmartError: of the kind `refusal`: the file cannot be read, or breaks a rule; the message lists each field.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise cls.refusal(f"{path}: the job cannot be read ({error.strerror})") from error
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'job'}: {fault['msg']}" for fault in error.errors()
            )
            raise cls.refusal(f"{path}: breaks the rules of {cls.__name__}: {faults}") from error

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


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
