"""The Dagster code location: the definitions of the project that SMART_CONFIG, or `./smart.yaml`, names.

The version of `smart.yaml` is put into the environment when the code location loads it. Runs inherit it, so that a run
that was asked for under older settings notices, and refuses instead of working on others than the UI showed.
"""

import os
from dataclasses import replace

from smart_assets.defs.build import build_definitions
from smart_assets.settings import load_project
from smart_assets.settings.project import LOADED_VARIABLE

_project = load_project()
_loaded = os.environ.setdefault(LOADED_VARIABLE, _project.settings_version)

defs = build_definitions(replace(_project, settings_version=_loaded))
