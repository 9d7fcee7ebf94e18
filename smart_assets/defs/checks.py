"""Asset checks: each reads what lies in the store, not what the step believed, and can be run again at any time."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from smart_assets.assets import (
    evaluation_overlap,
    finetuned_checkpoint,
    instance_orderings,
    prompt_embeddings,
    raw_tasks,
    selected_subset,
)
from smart_assets.assets.checks import artifact_checks
from smart_assets.assets.checks.artifact_checks import CheckResult
from smart_assets.assets.checks.source_checks import rows_are_accepted
from smart_assets.assets.checks.traced_rows import rows_are_traced
from smart_assets.assets.step import AssetPartition
from smart_assets.core.errors import SmartError
from smart_assets.core.safe_text import escaped, in_line
from smart_assets.defs.failure import NotMade
from smart_assets.defs.partitions import partition_key, partitions_of
from smart_assets.defs.tables import table
from smart_assets.settings import Project

SENTENCE = "verdict"
"""The metadata that holds the sentence as it is, for whoever shows plain text."""
_LONGEST_SENTENCE = 2000  # characters


@dataclass(frozen=True, slots=True)
class CheckCard:
    """The Dagster side of one check."""

    asset: str
    name: str
    description: str
    check: Callable[[Project, str | None], CheckResult]


CHECKS: tuple[CheckCard, ...] = (
    CheckCard(
        raw_tasks.NAME,
        "rows_are_accepted",
        "No more of the source's rows are refused than `refused_warning` allows; a warning only.",
        rows_are_accepted,
    ),
    CheckCard(
        prompt_embeddings.NAME,
        "vectors_are_unit",
        "Every vector is finite and of length 1.",
        artifact_checks.vectors_are_unit,
    ),
    CheckCard(
        instance_orderings.NAME,
        "orderings_reproduce",
        "Every ordering is a permutation of its group, and its gains add up to the objective's value.",
        artifact_checks.orderings_reproduce,
    ),
    CheckCard(
        evaluation_overlap.NAME,
        "tasks_keep_their_rows",
        "No task has evaluation text in more than half of its training rows; a warning only.",
        artifact_checks.tasks_keep_their_rows,
    ),
    CheckCard(
        selected_subset.NAME,
        "budgets_hold",
        "The task budgets add up to the total budget, and none is larger than its task.",
        artifact_checks.budgets_hold,
    ),
    CheckCard(
        selected_subset.NAME,
        "rows_are_distinct",
        "No row stands twice in a subset, and no text under two tasks.",
        artifact_checks.rows_are_distinct,
    ),
    CheckCard(
        selected_subset.NAME,
        "no_evaluation_text",
        "No row of the subset is held out, or holds text of a row that is evaluated on.",
        artifact_checks.no_evaluation_text,
    ),
    CheckCard(
        selected_subset.NAME,
        "rows_are_traced",
        "Every row was read from a file whose hash is known, or from a known revision of a dataset.",
        rows_are_traced,
    ),
    CheckCard(
        finetuned_checkpoint.NAME,
        "loss_is_finite",
        "Every recorded loss is finite, and training did not end far above its first loss.",
        artifact_checks.loss_is_finite,
    ),
    CheckCard(
        finetuned_checkpoint.NAME,
        "selected_tasks_trained",
        "Every task of the subset is in the checkpoint's record with all its rows.",
        artifact_checks.selected_tasks_trained,
    ),
)


def build_checks(project: Project) -> list[dg.AssetChecksDefinition]:
    """Return all checks of a project; each blocks what depends on its asset."""
    with warnings.catch_warnings():  # partitions of checks are in preview, which a user can do nothing about
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [_check(project, card) for card in CHECKS]


def _check(project: Project, card: CheckCard) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=card.asset,
        name=card.name,
        description=card.description,
        blocking=True,
        partitions_def=partitions_of(project, card.asset),
    )
    def definition(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        try:
            result = card.check(project, partition_key(context))
        except SmartError as error:
            raise NotMade(f"{AssetPartition(card.asset, partition_key(context))}: {error}") from error
        if result.warning and not result.passed:
            context.log.warning(in_line(result.sentence))
        rows = {} if result.rows is None else {"rows": table(result.rows)}
        return dg.AssetCheckResult(
            passed=result.passed,
            severity=dg.AssetCheckSeverity.WARN if result.warning else dg.AssetCheckSeverity.ERROR,
            # The UI takes a description for Markdown, and would fetch an image that a task's name asks for.
            description=escaped(result.sentence, _LONGEST_SENTENCE),
            metadata={SENTENCE: in_line(result.sentence), **result.figures, **rows},
        )

    return definition
