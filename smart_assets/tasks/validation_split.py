"""The validation split: near duplicates never stand on both sides, and every task keeps most of its training rows.

A cluster's side follows from a hash of the cluster, so that it stays where it is when other rows come and go. Two
bounds are kept besides. A task holds out `max_rows_per_task` rows at most, and never more than half of its rows: so no
task loses all its training rows, and no chain of near duplicates that holds most of a task can become its validation.
"""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
import binascii
from collections import Counter, defaultdict
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smart_assets.core.progress import Log
from smart_assets.tasks import digests
from smart_assets.tasks.digests import Digests
from smart_assets.tasks.near_duplicates import Signatures, clusters_of
from smart_assets.tasks.sources import Validation

# `split` is "train" or "validation", `cluster` the smallest prompt hash in the row's cluster.
SIDES = pa.schema([("split", pa.string()), ("cluster", pa.string())])


def split(rows: pa.Table, signatures: Signatures, validation: Validation, log: Log) -> pa.Table:
    """Part a source's rows into train and validation.

    Clusters whose hash lies below `validation.fraction` are candidates. They are taken whole, in the order of their
    hash, while every task in them stays within its bound; the others stay in train.

    Args:
        rows: `task` and `prompt_hash` of each row.
        signatures: (rows, 64), of the rows' prompts.
        validation: The bounds.
        log: Told of progress, of candidates that stay in train for a task's bound, and of tasks that hold out no row.

    Returns:
        SIDES, row by row those of `rows`.
    """
    labels = clusters_of(signatures, validation.similarity, log)
    clusters, cluster_of = _clusters(digests.from_hex(rows["prompt_hash"]), labels)
    held_out = _held_out(clusters, cluster_of, rows["task"], validation, log)
    sides = pa.array(["train", "validation"]).take(pa.array(held_out[cluster_of].astype(np.int8)))
    return pa.Table.from_arrays([sides, digests.to_hex(clusters[cluster_of])], schema=SIDES)


def _clusters(prompts: Digests, labels: NDArray[np.int64]) -> tuple[Digests, NDArray[np.int64]]:
    """Return each cluster by the smallest prompt hash in it, in order, and for each row which of them it is in."""
    order = digests.order_of(prompts)
    smallest = np.full(labels.max(initial=-1) + 1, len(order))
    np.minimum.at(smallest, labels[order], np.arange(len(order)))
    present, cluster_of = np.unique(smallest[labels], return_inverse=True)
    return prompts[order[present]], cluster_of


def _held_out(
    clusters: Digests, cluster_of: NDArray[np.int64], tasks: pa.ChunkedArray, validation: Validation, log: Log
) -> NDArray[np.bool_]:
    """Return which clusters go to validation."""
    sizes = {each["values"]: each["counts"] for each in pc.value_counts(tasks).to_pylist()}
    room = {task: min(validation.max_rows_per_task, rows // 2) for task, rows in sizes.items()}
    open_room = dict(room)
    places = _places(clusters)
    is_candidate = places < validation.fraction
    members: dict[int, Counter[str]] = defaultdict(Counter)
    rows = np.flatnonzero(is_candidate[cluster_of])
    for cluster, task in zip(cluster_of[rows].tolist(), tasks.take(pa.array(rows)).to_pylist(), strict=True):
        members[cluster][task] += 1
    candidates = np.flatnonzero(is_candidate)
    candidates = candidates[np.argsort(places[candidates], kind="stable")]
    taken = np.zeros(len(clusters), dtype=np.bool_)
    for cluster in candidates.tolist():
        if all(rows <= open_room[task] for task, rows in members[cluster].items()):
            taken[cluster] = True
            for task, rows in members[cluster].items():
                open_room[task] -= rows
    log(
        f"validation: {np.count_nonzero(taken[cluster_of]):,} of {len(cluster_of):,} rows; "
        f"{len(candidates) - np.count_nonzero(taken):,} clusters stay in train because a task holds out "
        f"{validation.max_rows_per_task:,} rows or half of its rows at most"
    )
    if len(candidates) and (without := sorted(task for task in room if open_room[task] == room[task])):
        log(f"validation: no rows of {len(without):,} tasks: {', '.join(without)}")
    return taken


def _places(clusters: Digests) -> NDArray[np.float64]:
    """Return where each cluster stands in [0, 1); hashed again, since the smallest of many hashes is small."""
    names = binascii.hexlify(clusters.tobytes())
    hashes = (blake2b(names[start : start + 32], digest_size=8).digest() for start in range(0, len(names), 32))
    return np.frombuffer(b"".join(hashes), ">u8").astype(np.float64) / 2**64
