"""A project: the folder of a `smart.yaml`, its settings and its store."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from smart_assets.core.errors import StaleSettingsError
from smart_assets.evaluation.settings import Evaluate
from smart_assets.settings.smart_yaml import Settings, read_settings
from smart_assets.store import Store
from smart_assets.store.hashing import file_sha256

CONFIG_VARIABLE = "SMART_CONFIG"
LOADED_VARIABLE = "SMART_LOADED_SETTINGS"


@dataclass(frozen=True)
class Project:
    """Where the project lies, what it wants, and where what it made is kept."""

    config: Path  # the smart.yaml
    settings: Settings
    settings_version: str  # sha256 of the file when it was read

    @property
    def root(self) -> Path:
        """The folder of `smart.yaml`, where relative paths start."""
        return self.config.parent

    @cached_property
    def store(self) -> Store:
        """The store, opened on first use so that reading definitions never needs it."""
        return Store(self.settings.store, self.root)

    def snapshot(self) -> "Project":
        """Return this project with its store as it is now, for reading only: a remote is listed once."""
        twin = replace(self)
        twin.__dict__["store"] = self.store.snapshot()
        return twin

    def require_unchanged(self) -> None:
        """Refuse to work on stale settings.

        Raises:
            StaleSettingsError: `smart.yaml` is not what it was when it was read.
        """
        if not self.config.exists() or file_sha256(self.config) != self.settings_version:
            raise StaleSettingsError(stale_message(self.config))


def stale_message(config: Path) -> str:
    """Return what to say to a user whose `smart.yaml` changed while the UI runs."""
    return (
        f"{config} changed after it was loaded, and the partitions come from it: reload the code location "
        "(Deployment > Code locations > Reload in the UI, or restart `smart dev`), then run again"
    )


def load_project(config: Path | None = None) -> Project:
    """Read the project of a `smart.yaml`: the one given, else SMART_CONFIG, else the one in the working folder.

    Raises:
        SettingsError: the file is missing or breaks its rules.
    """
    path = (config or Path(os.environ.get(CONFIG_VARIABLE, "smart.yaml"))).expanduser().resolve()
    if path.is_dir():
        path = path / "smart.yaml"
    before = file_sha256(path) if path.exists() else ""
    settings = read_settings(path)
    # An edit between the two readings gives a version that is not the file's: then runs refuse, as they should.
    return Project(path, _anchored(settings, path.parent), before)


def _anchored(settings: Settings, root: Path) -> Settings:
    """Return settings in which local models and folders are absolute paths; names of the hub stay as they are."""
    embedding = settings.embedding.model_copy(update={"model": _anchor(settings.embedding.model, root)})
    finetune = settings.finetune.model_copy(update={"base_model": _anchor(settings.finetune.base_model, root)})
    evaluate = _anchored_evaluate(settings.evaluate, root)
    return settings.model_copy(update={"embedding": embedding, "finetune": finetune, "evaluate": evaluate})


def _anchored_evaluate(evaluate: Evaluate, root: Path) -> Evaluate:
    """Return settings for the evaluation's program, which does not know the project: paths are absolute."""
    include = evaluate.include_path
    collections = {name: collection.anchored(root) for name, collection in evaluate.collections.items()}
    local = {name: str(root / Path(folder).expanduser()) for name, folder in evaluate.local_data.items()}
    return evaluate.model_copy(
        update={"include_path": include and str(root / include), "collections": collections, "local_data": local}
    )


def _anchor(reference: str, root: Path) -> str:
    if ":" in reference:  # package:NAME
        return reference
    local = (root / reference).expanduser()
    return str(local.resolve()) if local.exists() or reference.startswith((".", "/", "~")) else reference
