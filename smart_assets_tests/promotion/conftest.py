"""A project with a rule of promotion."""

from pathlib import Path

import pytest

from smart_assets.settings import Project
from smart_assets_tests.support.projects import write_project
from smart_assets_tests.support.promotions import RULE


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write_project(tmp_path, changes={"promotion": RULE, "evaluate": {"tasks": ["mmlu"]}})
