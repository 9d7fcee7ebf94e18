"""Which prompts are longer than the encoder reads: two of them are no more alike than their beginnings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smart_assets.assets.reading.evaluation_rows import EvaluationRows, SourceRows
from smart_assets.assets.records import LongPrompts
from smart_assets.embedding.encoder import load_encoder
from smart_assets.settings import Project


@dataclass(frozen=True, slots=True)
class CutPrompts:
    """The prompts of which the encoder reads the beginning alone."""

    rows: tuple[NDArray[np.bool_], ...]  # (n,) of each source
    evaluation: NDArray[np.bool_]  # (e,)

    def counted(self, sources: Sequence[SourceRows], evaluation: EvaluationRows) -> LongPrompts:
        """Return how many training rows and evaluation rows they are."""
        return LongPrompts(
            training_rows=sum(int(cut[source.train].sum()) for cut, source in zip(self.rows, sources, strict=True)),
            evaluation_rows={
                name: int(self.evaluation[start:stop].sum()) for name, start, stop in evaluation.benchmarks
            },
        )


def cut_prompts(project: Project, sources: Sequence[SourceRows], evaluation: EvaluationRows) -> CutPrompts:
    """Count the tokens of all prompts that may be too long.

    Raises:
        EmbeddingError: the encoder cannot be loaded.
    """
    encoder = load_encoder(project.settings.embedding, "cpu")
    none = [np.zeros(0, np.bool_)]
    rows = tuple(np.concatenate([*none, *map(encoder.cuts, source.prompts())]) for source in sources)
    held_out = [cut[~source.train] for cut, source in zip(rows, sources, strict=True)]
    outside = map(encoder.cuts, EvaluationRows(evaluation.outside, 0).prompts())
    return CutPrompts(rows, np.concatenate([*none, *held_out, *outside]))
