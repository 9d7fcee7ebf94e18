"""All documents of a budget and recipe as one folder: `dataset/`, and `model-seed-N/` for each seed's weights."""

from dataclasses import dataclass
from pathlib import Path

from smart_assets.assets.model_records import seeds_of
from smart_assets.core.errors import SmartError
from smart_assets.documents.bom import bom
from smart_assets.documents.checkpoints import CheckpointRecord, read_checkpoints
from smart_assets.documents.dataset_folder import CARD, CROISSANT, write_dataset, write_json, write_text
from smart_assets.documents.model_card import model_card
from smart_assets.documents.subsets import SubsetRecord, current_subset, trained_subset
from smart_assets.documents.training_summary import training_summary
from smart_assets.promotion.log import CHECKPOINT
from smart_assets.settings import Project
from smart_assets.store.hashing import file_sha256

DATASET = "dataset"
BOM = "bom.cdx.json"
SUMMARY = "training_data_summary.md"


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """What the documents are about."""

    subset: SubsetRecord
    checkpoints: tuple[CheckpointRecord, ...]  # one for each seed that was trained on the very row set
    other_seeds: tuple[int, ...]  # trained on row sets of their own, and so not in this folder


def document_set(project: Project, partition: str, seed: int | None) -> DocumentSet:
    """Return the newest checkpoint with the very rows it was trained on; where nothing was trained, the newest subset.

    Args:
        seed: of the row set where rows are random, and of the weights; None for the first row set and all its weights.

    Raises:
        UpstreamMissingError: the subset was never made.
        SmartError: there is no such seed, or files of a past version are gone from the store.
    """
    checkpoint = project.store.current(CHECKPOINT, partition)
    if checkpoint is None:
        return DocumentSet(current_subset(project, partition, seed), (), ())
    subset = trained_subset(project, checkpoint, seed)
    trained = seeds_of(checkpoint)
    wanted = subset.seed if subset.seed is not None else seed
    chosen = trained if wanted is None else tuple(number for number in trained if number == wanted)
    if not chosen:
        raise SmartError(
            f"{checkpoint.asset}[{partition}] has no weights of seed {wanted}; its seeds are {list(trained)}"
        )
    others = tuple(number for number in trained if number not in chosen) if seed is None else ()
    return DocumentSet(subset, tuple(read_checkpoints(project, checkpoint, chosen)), others)


def write_documents(documents: DocumentSet, folder: Path) -> None:
    """Write the documents into a new folder; equal stores give equal files but for the times of the manifests.

    Raises:
        OSError: it cannot be written.
    """
    write_dataset(documents.subset, folder / DATASET)
    croissant_sha256 = file_sha256(folder / DATASET / CROISSANT)
    for checkpoint in documents.checkpoints:
        place = folder / model_folder(checkpoint)
        place.mkdir()
        write_json(place / BOM, bom(checkpoint, documents.subset, croissant_sha256))
        write_text(place / CARD, model_card(checkpoint, documents.subset))
        write_text(place / SUMMARY, training_summary(checkpoint, documents.subset))


def model_folder(checkpoint: CheckpointRecord) -> str:
    """Return where the documents of one seed's weights stand."""
    return f"model-seed-{checkpoint.seed}"
