"""`raw_tasks`: a source's accepted instances with their split; origins and rejected rows beside the data version."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.pipeline.parquet import write_table
from smart_assets.pipeline.step import AssetPartition, Draft, Inputs, Made, RunContext, Wanted
from smart_assets.settings import Project
from smart_assets.store.hashing import json_version
from smart_assets.tasks.intake import collect, source_state
from smart_assets.tasks.validation_split import split

NAME = "raw_tasks"
CODE_VERSION = "1"
# Whatever else a source says of itself does not change its rows.
_NOT_CONTENT = {"license"}


def wanted(project: Project, partition: str | None) -> Wanted:
    """Made from files or a dataset outside the store, the columns' names and the rule of the split."""
    source = project.settings.sources[str(partition)]
    return Wanted(
        AssetPartition(NAME, partition),
        inputs=(),
        parameters={
            "source": source.model_dump(mode="json", exclude=_NOT_CONTENT),
            "validation": project.settings.validation.model_dump(mode="json"),
        },
        code_version=CODE_VERSION,
        outside=source_state(source, project.root),
    )


def make(project: Project, partition: str | None, inputs: Inputs, out: Draft, run: RunContext) -> Made:
    """Write `instances.parquet` and `signatures.npy`; attach `origins`: origins, rejected rows, tasks, files."""
    collection = collect(project.settings.sources[str(partition)], project.root, run.log)
    divided = split(collection.instances, project.settings.validation, run.log)
    write_table(divided.instances, out.content / "instances.parquet")
    np.save(out.content / "signatures.npy", divided.signatures, allow_pickle=False)

    origins = out.attachment("origins")
    write_table(collection.origins, origins / "origins.parquet")
    write_table(collection.rejected, origins / "rejected.parquet")
    write_table(collection.tasks, origins / "tasks.parquet")
    provenance = {
        "revision": collection.revision,
        "license": project.settings.sources[str(partition)].license,
        "files": [{"path": file.path, "sha256": file.sha256, "bytes": file.bytes} for file in collection.files],
    }
    (origins / "files.json").write_text(json.dumps(provenance, indent=1), encoding="utf-8")
    held_out = divided.instances.filter(pc.equal(divided.instances["split"], "validation"))
    return Made(
        summary=_summary(divided.instances, collection.rejected, collection.tasks),
        facets={"validation": held_out_version(held_out)},
    )


def held_out_version(held_out: pa.Table) -> str:
    """The version of the held-out rows alone, so that a changed training row leaves evaluations current."""
    return json_version(held_out.select(["id", "messages"]).to_pylist())


def _summary(instances: pa.Table, rejected: pa.Table, tasks: pa.Table) -> dict[str, object]:
    sides = pc.equal(instances["split"], "train")
    training = int(pc.sum(sides).as_py() or 0)
    empty = tasks.filter(pc.equal(tasks["accepted"], 0))["task"].to_pylist()
    return {
        "rows": instances.num_rows,
        "training rows": training,
        "validation rows": instances.num_rows - training,
        "tasks": tasks.num_rows - len(empty),
        "templates": instances.group_by(["task", "template"]).aggregate([]).num_rows,
        "rejected rows": rejected.num_rows,
        "tasks without rows": empty,
    }
