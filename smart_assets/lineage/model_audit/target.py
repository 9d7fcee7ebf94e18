"""Which checkpoint is meant: by budget and recipe, by a folder of weights, or by a content version."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smart_assets.assets.finetuned_checkpoint import NAME
from smart_assets.assets.model_records import seeds_of
from smart_assets.assets.step import grid_key, seed_of_folder
from smart_assets.core.errors import SmartError
from smart_assets.lineage.history import History
from smart_assets.settings import Project
from smart_assets.store import Manifest

_VERSION = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Target:
    """One seed's weights of one version of a checkpoint."""

    manifest: Manifest
    seed: int
    current: bool  # the newest of its partition


def find_target(project: Project, history: History, names: Sequence[str], seed: int | None) -> Target:
    """Return the checkpoint that the words of a command name.

    Args:
        project: the project.
        history: all of its store.
        names: `BUDGET RECIPE` (its newest), or one of: a folder of weights, a content version of 8 digits or more.
        seed: which of its fine-tunes; by default the folder's, else the first.

    Raises:
        SmartError: there is no such checkpoint or seed; the message lists what there is.
    """
    if len(names) == 2 and names[0].isdecimal():
        partition = grid_key(int(names[0]), names[1])
        manifest = next(
            (checkpoint for checkpoint in history.manifests(NAME) if checkpoint.partition == partition), None
        )
        if manifest is None:
            raise SmartError(f"no checkpoint of {names[0]} {names[1]} was ever made; there are {_there(history)}")
    elif len(names) == 1:
        manifest, of_folder = _by_version_or_folder(project, history, names[0])
        if of_folder is not None and seed not in (None, of_folder):
            raise SmartError(f"{names[0]} has the weights of seed {of_folder}, not of seed {seed}: leave --seed out")
        seed = of_folder if seed is None else seed
    else:
        raise SmartError("name a budget and a recipe, a folder of weights, or a content version")
    seeds = seeds_of(manifest)
    chosen = seeds[0] if seed is None else seed
    if chosen not in seeds:
        raise SmartError(f"this checkpoint has no seed {chosen}; it has {', '.join(map(str, seeds))}")
    newest = next(checkpoint for checkpoint in history.manifests(NAME) if checkpoint.partition == manifest.partition)
    return Target(manifest, chosen, newest.content_version == manifest.content_version)


def _by_version_or_folder(project: Project, history: History, name: str) -> tuple[Manifest, int | None]:
    version, seed = name, None
    if not _VERSION.fullmatch(name):
        path = Path(name).expanduser().resolve()  # `<store>/production` is a link to the weights
        root = (project.store.root / "artifacts" / NAME).resolve()
        if not path.is_relative_to(root) or path == root:
            raise SmartError(
                f"{name}: neither a content version nor a folder under {root}; there are {_there(history)}"
            )
        version, *inside = path.relative_to(root).parts
        seed = next((number for part in inside if (number := seed_of_folder(part)) is not None), None)
    checkpoints = {
        checkpoint.content_version: checkpoint
        for checkpoint in history.manifests(NAME)
        if checkpoint.content_version.startswith(version)
    }
    if len(checkpoints) != 1:
        many = "several checkpoints begin" if checkpoints else "no checkpoint begins"
        raise SmartError(f"{many} with {version!r}; there are {_there(history)}")
    return next(iter(checkpoints.values())), seed


def _there(history: History) -> str:
    names = [f"{checkpoint.partition} ({checkpoint.content_version[:12]})" for checkpoint in history.manifests(NAME)]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"
