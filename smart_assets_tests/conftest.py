"""Settings of all tests: nothing reaches a network, and nothing of the caller's environment leaks in."""

import os

import pytest

# Before any library is imported: what is local must be enough.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMART_CONFIG", "SMART_LOADED_SETTINGS", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
