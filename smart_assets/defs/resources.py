"""The resources that a step is given: the compute device, and the way to start a program of its own."""

import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from smart_assets.assets.step import RunContext
from smart_assets.core.errors import ProgramError
from smart_assets.core.safe_text import printable
from smart_assets.defs.dagster_private import DagsterPipesExecutionError
from smart_assets.defs.failure import NotMade
from smart_assets.defs.orphans import claim_run


class ComputeDevice(dg.ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Chooses the device of every asset that can use a GPU."""

    setting: str = "auto"
    claims: bool = False

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tag the run with this process, before its first step waits for a place in a pool."""
        if self.claims and context.instance is not None and context.run is not None:
            claim_run(context.instance, context.run.run_id)

    def resolve(self) -> str:
        """`cpu` or `cuda:N`; `auto` takes the first GPU where torch finds one."""
        if self.setting == "cpu" or (self.setting == "auto" and not _may_have_gpu()):
            return "cpu"
        import torch

        if not torch.cuda.is_available():
            if self.setting == "auto":
                return "cpu"
            raise NotMade(
                f"device {self.setting!r} is set in smart.yaml, but torch finds no GPU: set `device: auto` or `cpu`, "
                "or install the GPU build of torch",
                allow_retries=False,
            )
        return "cuda:0" if self.setting in ("auto", "cuda") else self.setting


def _may_have_gpu() -> bool:
    """Return a look that costs nothing, so that a machine without a GPU never imports torch for it."""
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists() or shutil.which("nvidia-smi") is not None


def run_context(context: dg.AssetExecutionContext, device: str, pipes: dg.PipesSubprocessClient) -> RunContext:
    """Return what a step needs of Dagster, as plain callables."""

    def launch(arguments: Sequence[str]) -> None:
        try:
            with warnings.catch_warnings():  # what Dagster calls a preview of its own, a user can do nothing about
                warnings.simplefilter("ignore", dg.PreviewWarning)
                pipes.run(context=context, command=[sys.executable, *arguments])
        except DagsterPipesExecutionError as error:
            raise ProgramError(str(error)) from error

    def log(line: str) -> None:  # `smart dev` prints it in a terminal, and names of files may be in it
        context.log.info(printable(line))

    return RunContext(log, launch, device, context.run_id)
