"""A checkpoint's audit pages: written when it is made, and kept beside it."""

from smart_assets.assets.finetuned_checkpoint import AUDIT, NAME
from smart_assets.assets.model_records import seeds_of
from smart_assets.assets.step import seed_folder
from smart_assets.core.errors import SmartError
from smart_assets.core.progress import Log
from smart_assets.lineage.model_audit.gather import audit_by_manifests
from smart_assets.settings import Project
from smart_assets.store import Manifest


def page_name(seed: int) -> str:
    """Return the file of a seed's page in the attachment."""
    return f"{seed_folder(seed)}.html"


def with_pages(project: Project, manifest: Manifest, log: Log) -> Manifest:
    """Return a checkpoint's manifest with its audit pages attached; that of any other asset as it is.

    Without pages where the audit cannot be gathered: hours of training do not end for that.
    """
    if manifest.asset != NAME:
        return manifest
    from smart_assets.lineage.model_audit.page import render_audit

    try:
        pages = {
            seed: render_audit(audit_by_manifests(project, manifest, seed).without_kept())
            for seed in seeds_of(manifest)
        }
    except SmartError as error:
        log(f"{NAME}[{manifest.partition}]: no audit page is kept with it: {error}")
        return manifest
    with project.store.draft() as draft:
        folder = draft / AUDIT
        folder.mkdir()
        for seed, page in pages.items():
            (folder / page_name(seed)).write_text(page, encoding="utf-8")
        artifact = project.store.commit(f"{NAME}.{AUDIT}", folder)
    return manifest.model_copy(
        update={
            "attachments": {**manifest.attachments, AUDIT: artifact},
            "facets": {**manifest.facets, AUDIT: artifact.version},
        }
    )
