"""`smart.yaml`: the settings of a project, composed of the sections that each package declares for itself."""

from smart_assets.settings.project import Project, load_project
from smart_assets.settings.smart_yaml import Settings

__all__ = ["Project", "Settings", "load_project"]
