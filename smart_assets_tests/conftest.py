"""Settings of all tests: nothing reaches a network, and nothing of the caller's environment leaks in."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smart_assets_tests.support.disk import Disk, watch_disk

if TYPE_CHECKING:
    from smart_assets.settings import Project

# Before any library is imported: what is local must be enough.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and their models are tiny


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMART_CONFIG", "SMART_LOADED_SETTINGS", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def past_project(tmp_path_factory: pytest.TempPathFactory) -> "Project":
    """The store of `three_runs.py`, made once; tests that change it take `own_past`."""
    from smart_assets_tests.support.three_runs import make_past

    return make_past(tmp_path_factory.mktemp("past"))


@pytest.fixture
def own_past(past_project: "Project", tmp_path: Path) -> "Project":
    """A copy of it."""
    from smart_assets_tests.support.projects import own_copy

    return own_copy(past_project.root, tmp_path)


@pytest.fixture(scope="session")
def secret_project(tmp_path_factory: pytest.TempPathFactory) -> "Project":
    """The project of `secret_project.py`, made once; tests that change it take a copy of their own."""
    from smart_assets_tests.support.secret_project import make_secret_project

    return make_secret_project(tmp_path_factory.mktemp("forget"))


@pytest.fixture(scope="session")
def subsets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of `subsets_project.py`, made once; tests take a copy."""
    from smart_assets_tests.support.subsets_project import make_subsets

    return make_subsets(tmp_path_factory.mktemp("subsets"))


@pytest.fixture(scope="session")
def documented_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of `documented_project.py`, made once; tests take a copy."""
    from smart_assets_tests.support.documented_project import make_documented_project

    return make_documented_project(tmp_path_factory.mktemp("documented"))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The syncs and renames of a test."""
    return watch_disk(monkeypatch)
