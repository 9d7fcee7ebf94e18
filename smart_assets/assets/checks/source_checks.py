"""The check of a source: whether so many of its rows are refused that somebody should look."""

from collections import Counter

import pyarrow.parquet as pq

from smart_assets.assets import raw_tasks
from smart_assets.assets.checks.artifact_checks import CheckResult, inputs_to_check
from smart_assets.assets.raw_tasks import ORIGINS_FOLDER
from smart_assets.assets.step import AssetPartition
from smart_assets.settings import Project
from smart_assets.tasks import reasons

_MOST_REASONS = 5


def rows_are_accepted(project: Project, partition: str | None) -> CheckResult:
    """Check that no more than `refused_warning` of a source's rows are refused: a warning; an error where all are.

    Rows that people forgot count on neither side.
    """
    refused = project.store.last_refused(raw_tasks.NAME, partition)
    if refused is not None:
        return CheckResult(False, str(refused.refused))
    manifest = inputs_to_check(project, AssetPartition(raw_tasks.NAME, partition)).manifest(raw_tasks.NAME, partition)
    origins = project.store.folder(manifest.attachments[ORIGINS_FOLDER])
    accepted = sum(pq.read_table(origins / "tasks.parquet", columns=["accepted"])["accepted"].to_pylist())
    counts = Counter(pq.read_table(origins / "rejected.parquet", columns=["reason"])["reason"].to_pylist())
    counts.pop(reasons.FORGOTTEN, None)
    rejected, limit = counts.total(), project.settings.refused_warning
    share = rejected / max(1, accepted + rejected)
    sentence = f"{rejected:,} of {accepted + rejected:,} rows are refused"
    if share > limit:
        named = ", ".join(f"{count:,} x {reason}" for reason, count in counts.most_common(_MOST_REASONS))
        sentence += (
            f" ({share:.1%}, more than `refused_warning` allows, {limit:.1%}): {named}; "
            f"`smart sql \"FROM rejected WHERE source = '{partition}'\"` lists them"
        )
    figures = {"rows accepted": accepted, "rows refused": rejected, "share refused": share}
    return CheckResult(share <= limit, sentence, figures, warning=True)
