"""Which artifacts still hold something of forgotten rows, and what can be kept of each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smart_assets.assets.step import parse_input
from smart_assets.core.errors import StoreError
from smart_assets.core.metrics import HELD_OUT
from smart_assets.lineage.history import History
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.inventory import Name, name_of
from smart_assets.tasks.forgotten import Forgotten, refusal_id

NO_PROMPT = "0" * 32
"""The prompt hash of a row that was taken out."""

Kept = Literal["the other rows", "nothing"]
_FROM_ROWS = ("prompt_embeddings", "similarity_index")


@dataclass(frozen=True, slots=True)
class AffectedArtifact:
    """An artifact that holds something of forgotten rows."""

    artifact: Artifact  # as manifests name it
    ids: tuple[str, ...]
    kept: Kept
    current: bool  # it is the state of a partition that `smart.yaml` names


class ForgottenScan:
    """Looks through what is still there of all artifacts."""

    def __init__(self, store: Store, history: History, forgotten: Forgotten) -> None:
        self._store, self._history, self._forgotten = store, history, forgotten
        self._seen: dict[tuple[Name, str], tuple[str, ...]] = {}

    def find(self) -> list[AffectedArtifact]:
        """All artifacts that hold something, each once."""
        found: dict[Name, AffectedArtifact] = {}
        for item in self._history.made:
            for artifact, look, kept in self._looks(item.manifest):
                name = name_of(artifact)
                if name not in found and self._store.has(artifact):
                    ids = self._look(artifact, look)
                    if ids:
                        found[name] = AffectedArtifact(artifact, ids, kept, name in self._current)
        return list(found.values())

    @cached_property
    def _current(self) -> frozenset[Name]:
        return frozenset(
            name_of(artifact) for item in self._history.made if item.current for artifact in item.manifest.artifacts
        )

    def _looks(self, manifest: Manifest) -> Iterator[tuple[Artifact, Callable[[Path], tuple[str, ...]], Kept]]:
        """What of a materialization may hold rows, how that shows, and what can be kept of it."""
        match manifest.asset:
            case "raw_tasks":
                yield manifest.artifact, self._instances, "the other rows"
                if "origins" in manifest.attachments:
                    yield manifest.attachments["origins"], self._excerpts, "the other rows"
            case "eval_results" | "base_model_results":
                yield manifest.artifact, self._predictions, "the other rows"
            case "prompt_embeddings":
                yield manifest.artifact, self._vectors, "nothing"
            case "similarity_index" | "mixture_report" | "task_scores":
                yield manifest.artifact, lambda _: self._made_from(manifest), "nothing"
            case _:  # ids alone: rows are hashes there
                return

    def _look(self, artifact: Artifact, look: Callable[[Path], tuple[str, ...]]) -> tuple[str, ...]:
        try:
            return look(self._store.folder(artifact))
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"{artifact.asset} {artifact.version[:12]} cannot be read ({error}), so that it cannot be told whether "
                "it holds forgotten rows: `smart verify --repair` moves it away"
            ) from error

    def _instances(self, folder: Path) -> tuple[str, ...]:
        rows = pq.read_table(folder / "instances.parquet", columns=["id", "task", "prompt_hash"])
        return self._ids(rows.filter(pc.not_equal(rows["prompt_hash"], NO_PROMPT)))

    def _excerpts(self, folder: Path) -> tuple[str, ...]:
        rows = pq.read_table(folder / "rejected.parquet", columns=["task", "excerpt"])
        rows = rows.filter(pc.is_valid(rows["excerpt"]))
        ids = pa.array([refusal_id(excerpt) for excerpt in rows["excerpt"].to_pylist()], pa.string())
        return self._ids(rows.append_column("id", ids))

    def _predictions(self, folder: Path) -> tuple[str, ...]:
        ids: set[str] = set()
        for path in folder.glob("*/rows.parquet"):
            rows = pq.read_table(path)
            rows = rows.filter(pc.is_valid(rows["prediction"]))
            # A collection is no source: its tasks are others, whatever their names.
            if "benchmark" in rows.column_names:
                tasks = pc.if_else(pc.equal(rows["benchmark"], HELD_OUT), rows["task"], pa.scalar(None, pa.string()))
                rows = rows.set_column(rows.column_names.index("task"), "task", tasks)
            ids.update(self._ids(rows))
        return tuple(sorted(ids))

    def _vectors(self, folder: Path) -> tuple[str, ...]:
        return self._ids(pq.read_table(folder / "rows.parquet", columns=["id", "task"]))

    def _made_from(self, manifest: Manifest) -> tuple[str, ...]:
        """The forgotten rows of the rows that something was made from, as the tombstones' own ids where these are gone.

        A report quotes prompts, an index holds vectors, and scores the means of tasks, some of one row: none of them
        says of which rows.
        """
        ids: set[str] = set()
        for rows in self._raw(manifest):
            if rows is None:
                ids |= self._forgotten.ids
                continue
            # A mean is over training rows.
            ids.update(self._once(rows.artifact, self._training if manifest.asset == "task_scores" else self._rows))
            origins = rows.attachments.get("origins")
            if manifest.asset == "mixture_report" and origins is not None:  # it quotes refused rows, too
                redaction = self._store.what_became_of(origins)
                ids.update(self._once(origins, self._excerpts), redaction.ids if redaction else ())
        return tuple(sorted(ids))

    def _once(self, artifact: Artifact, look: Callable[[Path], tuple[str, ...]]) -> tuple[str, ...]:
        key = (name_of(artifact), look.__name__)
        if key not in self._seen:
            there = self._store.has(artifact)
            self._seen[key] = self._look(artifact, look) if there else tuple(sorted(self._forgotten.ids))
        return self._seen[key]

    def _rows(self, folder: Path) -> tuple[str, ...]:
        return self._ids(pq.read_table(folder / "instances.parquet", columns=["id", "task"]))

    def _training(self, folder: Path) -> tuple[str, ...]:
        rows = pq.read_table(folder / "instances.parquet", columns=["id", "task", "split"])
        return self._ids(rows.filter(pc.equal(rows["split"], "train")))

    def _raw(self, manifest: Manifest) -> Iterator[Manifest | None]:
        """The rows at the beginning of what something was made from, None for those that no manifest explains.

        Which of several manifests of the same content counts does not matter, so the newest does: its files are there.
        """
        for name, version in manifest.inputs.items():
            asset = parse_input(name)[0].asset
            made = self._history.named(name, version)
            if asset == "raw_tasks" or (made is None and asset in _FROM_ROWS):
                yield made
            elif made is not None and asset in _FROM_ROWS:
                yield from self._raw(made)

    def _ids(self, rows: pa.Table) -> tuple[str, ...]:
        gone = self._forgotten.covers(rows["id"], rows["task"])
        return tuple(sorted(set(rows.filter(gone)["id"].to_pylist())))
