"""The job file of a program: what it is told, as JSON, so that a person can start it as well as Dagster."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, ValidationError

from smart_assets.core.errors import SmartError
from smart_assets.core.section import Section


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
            faults = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'job'}: {one['msg']}" for one in error.errors())
            raise cls.refusal(f"{path}: breaks the rules of {cls.__name__}: {faults}") from error

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
