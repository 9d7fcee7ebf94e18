"""The validation split: near duplicates never stand on both sides, and every task keeps most of its training rows.

A cluster's side follows from a hash of the cluster, so that it stays where it is when other rows come and go. Two
bounds are kept besides. A task holds out `max_rows_per_task` rows at most, and never more than half of its rows: so no
task loses all its training rows, and no chain of near duplicates that holds most of a task can become its validation.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smart_assets.progress import Log
from smart_assets.tasks.near_duplicates import Signatures, clusters_of, signatures_of
from smart_assets.tasks.sources import Validation

_HASH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Split:
    """Instances with their side, and what near duplicates were told by."""

    instances: pa.Table  # with `split` ("train" or "validation") and `cluster` (the smallest prompt hash in it)
    signatures: Signatures  # (rows, 64), row by row those of `instances`


def split(instances: pa.Table, validation: Validation, log: Log) -> Split:
    """Part a source's instances into train and validation.

    Clusters whose hash lies below `validation.fraction` are candidates. They are taken whole, in the order of their
    hash, while every task in them stays within its bound; the others stay in train.

    Args:
        instances: Rows as in `Collection.instances`.
        validation: The bounds.
        log: Told of progress, of candidates that stay in train for a task's bound, and of tasks that hold out no row.
    """
    signatures = signatures_of(instances["prompt"], log)
    labels = clusters_of(signatures, validation.similarity, log)
    clusters = _cluster_ids(instances["prompt_hash"].to_pylist(), labels)
    held_out = _held_out(clusters, instances["task"].to_pylist(), validation, log)
    sides = ["validation" if cluster in held_out else "train" for cluster in clusters]
    with_side = instances.append_column("split", pa.array(sides, pa.string()))
    return Split(with_side.append_column("cluster", pa.array(clusters, pa.string())), signatures)


def _cluster_ids(prompt_hashes: list[str], labels: NDArray[np.int64]) -> list[str]:
    """Return each row's cluster, named by the smallest prompt hash in it."""
    smallest: dict[int, str] = {}
    for label, prompt_hash in zip(labels.tolist(), prompt_hashes, strict=True):
        smallest[label] = min(prompt_hash, smallest.get(label, prompt_hash))
    return [smallest[label] for label in labels.tolist()]


def _held_out(clusters: list[str], tasks: list[str], validation: Validation, log: Log) -> set[str]:
    """Return the clusters that go to validation."""
    room = {task: min(validation.max_rows_per_task, rows // 2) for task, rows in Counter(tasks).items()}
    open_room = dict(room)
    members: dict[str, Counter[str]] = {}
    for cluster, task in zip(clusters, tasks, strict=True):
        members.setdefault(cluster, Counter())[task] += 1
    candidates = sorted((_place(cluster), cluster) for cluster in members if _place(cluster) < validation.fraction)
    taken: set[str] = set()
    for _, cluster in candidates:
        if all(rows <= open_room[task] for task, rows in members[cluster].items()):
            taken.add(cluster)
            for task, rows in members[cluster].items():
                open_room[task] -= rows
    log(
        f"validation: {sum(members[cluster].total() for cluster in taken):,} of {len(tasks):,} rows; "
        f"{len(candidates) - len(taken):,} clusters stay in train because a task holds out "
        f"{validation.max_rows_per_task:,} rows or half of its rows at most"
    )
    if candidates and (without := sorted(task for task in room if open_room[task] == room[task])):
        log(f"validation: no rows of {len(without):,} tasks: {', '.join(without)}")
    return taken


def _place(cluster: str) -> float:
    """Return where a cluster stands in [0, 1); hashed again, since the smallest of many hashes is small."""
    digest = hashlib.blake2b(cluster.encode(), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest, "big") / 2 ** (8 * _HASH_BYTES)
