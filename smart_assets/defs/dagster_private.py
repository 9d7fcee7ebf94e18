"""What this project uses of Dagster that Dagster does not promise to keep, in one place for whoever updates it."""

import re

from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterPipesExecutionError
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES, NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._utils.schedules import is_valid_cron_schedule
from dagster_shared.error import SerializableErrorInfo

_SKIPPED_STEP = re.compile(r"Dependencies for step .* Not executing\.", re.DOTALL)

__all__ = [
    "CODE_VERSION_TAG",
    "DATA_VERSION_IS_USER_PROVIDED_TAG",
    "DATA_VERSION_TAG",
    "INPUT_DATA_VERSION_TAG_PREFIX",
    "IN_PROGRESS_RUN_STATUSES",
    "NOT_FINISHED_STATUSES",
    "PARTITION_NAME_TAG",
    "DagsterPipesExecutionError",
    "InstigatorStatus",
    "InstigatorType",
    "SerializableErrorInfo",
    "UnresolvedAssetJobDefinition",
    "get_input_data_version_tag",
    "get_input_event_pointer_tag",
    "is_valid_cron_schedule",
    "says_step_is_skipped",
]


def says_step_is_skipped(line: str) -> bool:
    """Return whether a log line is Dagster's notice of a step whose inputs failed; it is logged as the step's own."""
    return _SKIPPED_STEP.fullmatch(line) is not None
