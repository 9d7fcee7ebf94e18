"""What leaves the project: `smart export` and `smart document`."""

from pathlib import Path

from smart_assets.assets.step import grid_key
from smart_assets.cli.options import refuse
from smart_assets.cli.run import make_current
from smart_assets.cli.terminal import console, literal
from smart_assets.core.files import write_beside
from smart_assets.documents.dataset_folder import CARD
from smart_assets.documents.documents import DATASET, DocumentSet, document_set, write_documents
from smart_assets.documents.export import write_subset
from smart_assets.documents.signing import sign
from smart_assets.documents.subsets import current_subset
from smart_assets.documents.trainers.write import find_trainer, write_for
from smart_assets.forgetting.exports import remember_export
from smart_assets.planning.graph import find_partitions
from smart_assets.settings import Project, load_project


def export_subset(
    config: Path | None, mixture: tuple[int, str], out: Path, seed: int | None, trainer: str | None
) -> None:
    """Bring one subset up to date and write it, in the form of a trainer where one is named; nothing is trained."""
    form = trainer and find_trainer(trainer)
    project = load_project(config)
    key = grid_key(*mixture)
    wanted = find_partitions(project, [f"selected_subset[{key}]"])
    if seed is not None and project.settings.recipes[mixture[1]].instance_objective is not None:
        refuse(f"--seed does nothing for {key}: its rows are the same for every seed; leave it out")
    make_current(project, wanted, counted=wanted)
    subset = current_subset(project, key, seed)
    if form:
        export = write_for(form, subset, out)
        lines = [*export.sentences(), f"{export.rows} rows are in {out}; {out / CARD} says how to run it"]
    else:
        write_subset(subset, out)
        lines = [f"{subset.rows.num_rows} rows are in {out}"]
    remember_export(project.store, out, subset.manifest.content_version)
    for line in lines:
        console.print(literal(line))


def document_mixture(
    config: Path | None, mixture: tuple[int, str], out: Path, seed: int | None, private_key: Path | None
) -> None:
    """Write the documents of what is in the store, and sign them where there is a key; nothing is made for them."""
    project = load_project(config)
    key = grid_key(*mixture)
    find_partitions(project, [f"selected_subset[{key}]"])  # refuses what smart.yaml does not have
    documents = document_set(project, key, seed)
    if seed is not None and documents.subset.seed is None and not documents.checkpoints:
        refuse(
            f"--seed does nothing for {key}: its rows are the same for every seed and nothing was trained on them yet; "
            "leave it out"
        )

    def write(draft: Path) -> None:
        write_documents(documents, draft)
        if private_key is not None:
            sign(project, documents, draft, private_key)

    write_beside(out, write)
    remember_export(project.store, out / DATASET, documents.subset.manifest.content_version)
    for line in _said(project, documents):
        console.print(literal(line))
    console.print(literal(f"the documents are in {out}"))


def _said(project: Project, documents: DocumentSet) -> list[str]:
    subset = documents.subset.manifest
    key = f"{subset.asset}[{subset.partition}]"
    lines: list[str] = []
    if not documents.checkpoints:
        lines.append(f"nothing was trained on {key} yet: the rows alone are documented")
    if documents.subset.forgotten:
        lines.append(
            f"{documents.subset.forgotten:,} rows of {key} are forgotten since, and are not in the documents' rows"
        )
    newest = project.store.current(subset.asset, subset.partition)
    if newest is not None and newest.content_version != subset.content_version:
        lines.append(
            f"{key} has changed since: the documents are of {subset.content_version[:12]}, on which the newest "
            f"checkpoint was trained; `smart export` documents the rows of {newest.content_version[:12]}"
        )
    lines += [
        f"seed {seed} was trained on rows of its own: --seed {seed} documents it" for seed in documents.other_seeds
    ]
    return lines
