"""Dagster's records brought to what the plan knows: what is current is shown as current.

Dagster calls a partition out of date when any upstream has a new data version. The plan looks closer: an evaluation
counts only the held-out rows, the task scores only the task vectors; and the store may have been written by another
machine. What the plan calls current is recorded again with the versions that there are now, without a run.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import dagster as dg

from smart_assets.assets import catalog
from smart_assets.assets.step import AssetPartition
from smart_assets.defs.dagster_private import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from smart_assets.defs.metadata import figures_of
from smart_assets.defs.partitions import upstream_partitions
from smart_assets.defs.requests import under_way
from smart_assets.planning.plan import CurrentState, PlanStep
from smart_assets.settings import Project
from smart_assets.store import Manifest
from smart_assets.store.hashing import json_version

_INPUTS = f"{INPUT_DATA_VERSION_TAG_PREFIX}/"


def record_current(
    project: Project, instance: dg.DagsterInstance, plan: Sequence[PlanStep], current_state: CurrentState
) -> list[AssetPartition]:
    """Record the current partitions of a plan that Dagster does not know as such; gives those."""
    busy = under_way(instance)
    records = _Records(instance)
    upstream = {asset.name: asset.upstream_of(project.settings) for asset in catalog.assets()}
    recorded: list[AssetPartition] = []
    for step in plan:  # inputs before their users
        manifest = current_state.current(step.key)
        if step.status != "current" or step.key in busy or manifest is None:
            continue
        inputs = {asset: upstream_partitions(project, asset, step.key) for asset in upstream[step.key.asset]}
        if not records.agree(step.key, manifest, inputs):
            records.add(step.key, manifest, inputs)
            recorded.append(step.key)
    return recorded


class _Records:
    """The newest materializations in a Dagster instance."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._newest = cache(self._record)

    def agree(self, key: AssetPartition, manifest: Manifest, inputs: dict[str, list[AssetPartition]]) -> bool:
        """Return whether Dagster shows a partition with this content, and as made from its inputs as they are now."""
        record = self._newest(key)
        if record is None:
            return False
        tags = record.event_log_entry.tags or {}
        if tags.get(DATA_VERSION_TAG) != manifest.content_version or tags.get(CODE_VERSION_TAG) != _code(key):
            return False
        read = {tag.removeprefix(_INPUTS) for tag in tags if tag.startswith(_INPUTS)}
        return read == inputs.keys() and not any(self._moved(tags, asset, keys) for asset, keys in inputs.items())

    def add(self, key: AssetPartition, manifest: Manifest, inputs: dict[str, list[AssetPartition]]) -> None:
        """Record a partition as made from its inputs as they are now; what its files show is not drawn again."""
        earlier = self._newest(key)
        known = earlier and earlier.asset_materialization
        same = known is not None and earlier is not None and _version(earlier) == manifest.content_version
        metadata = known.metadata if known is not None and same else figures_of(manifest)
        tags = {
            DATA_VERSION_TAG: manifest.content_version,
            DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
            CODE_VERSION_TAG: _code(key),
        }
        for asset, keys in inputs.items():
            records = [record for upstream in keys if (record := self._newest(upstream)) is not None]
            versions = [_version(record) for record in records]
            name = dg.AssetKey(asset)
            single = len(keys) == 1 and keys[0].partition is None
            tags[get_input_data_version_tag(name)] = str(versions[0]) if single and records else json_version(versions)
            tags[get_input_event_pointer_tag(name)] = str(max((record.storage_id for record in records), default=0))
        self._instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=dg.AssetKey(key.asset),
                partition=key.partition,
                description="Current by the plan; recorded without a run.",
                metadata=metadata,
                tags=tags,
            )
        )
        self._newest.cache_clear()

    def _moved(self, tags: Mapping[str, str], asset: str, keys: list[AssetPartition]) -> bool:
        """Return whether an input has another version than when the record with these tags was written."""
        name = dg.AssetKey(asset)
        before, pointer = tags.get(get_input_data_version_tag(name)), tags.get(get_input_event_pointer_tag(name), "")
        newest = [(key, record) for key in keys if (record := self._newest(key)) is not None]
        if any(key.partition is None for key in keys):
            return any(_version(record) != before for _, record in newest)
        cursor = int(pointer) if pointer.isdigit() else 0
        return any(
            record.storage_id > cursor and _version(record) != self._version_at(key, cursor) for key, record in newest
        )

    def _version_at(self, key: AssetPartition, cursor: int) -> str | None:
        earlier = self._instance.get_latest_data_version_record(
            dg.AssetKey(key.asset), partition_key=key.partition, before_cursor=cursor + 1
        )
        return None if earlier is None else _version(earlier)

    def _record(self, key: AssetPartition) -> dg.EventLogRecord | None:
        return self._instance.get_latest_data_version_record(dg.AssetKey(key.asset), partition_key=key.partition)


def _version(record: dg.EventLogRecord) -> str | None:
    return (record.event_log_entry.tags or {}).get(DATA_VERSION_TAG)


def _code(key: AssetPartition) -> str:
    return catalog.asset(key.asset).step.CODE_VERSION
