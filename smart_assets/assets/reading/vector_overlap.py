"""Training rows whose prompts have nearly the vector of an evaluation prompt, as a whole and at their ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smart_assets.assets.reading.evaluation_rows import EvaluationRows, SourceRows
from smart_assets.assets.records import LongPromptRows
from smart_assets.contamination.matches import Matches
from smart_assets.embedding.nearest import nearest_above
from smart_assets.embedding.windows import PromptVectors


@dataclass(frozen=True)
class ComparedVectors:
    """The vectors of training rows and of evaluation rows."""

    sources: Sequence[SourceRows]
    vectors: Sequence[PromptVectors]  # of each source
    evaluation: EvaluationRows
    outside: PromptVectors  # of evaluation prompts from outside the store

    def matches(self, similarity: float) -> tuple[Matches, Matches]:
        """Return rows with nearly the vector of an evaluation prompt, and those that are of one document with it.

        Of one document is a prompt that is near as a whole and not in its last window, where one has several windows.
        Prompts whose ends are not read are compared with nothing.
        """
        asked, start = self._asked, 0
        same, document = list[Matches](), list[Matches]()
        for source, own in zip(self.sources, self.vectors, strict=True):
            train = np.flatnonzero(source.train & ~own.ends_unread)
            for _, first, stop in self.evaluation.benchmarks:
                read = np.flatnonzero(~asked.ends_unread[first:stop]) + first
                both = nearest_above(own, train, asked.only(read), similarity)
                for parts, nearest in zip((same, document), both, strict=True):
                    pairs = Matches.nearest(train + start, nearest.rows, nearest.cosines)
                    parts.append(Matches(pairs.rows, read[pairs.evaluation], pairs.scores))
            start += len(own)
        return Matches.joined(same), Matches.joined(document)

    def long_prompts(self) -> tuple[LongPromptRows, LongPromptRows]:
        """Return how many prompts are read in their first window alone; and how many in others, too, but not in all."""
        asked = self._asked
        unread = [own.ends_unread for own in self.vectors]
        in_part = [own.read_in_part & ~own.ends_unread for own in self.vectors]
        return (
            self._counted(unread, asked.ends_unread),
            self._counted(in_part, asked.read_in_part & ~asked.ends_unread),
        )

    def _counted(self, kinds: Sequence[NDArray[np.bool_]], asked: NDArray[np.bool_]) -> LongPromptRows:
        training = (int(kind[source.train].sum()) for kind, source in zip(kinds, self.sources, strict=True))
        benchmarks = {name: int(asked[first:stop].sum()) for name, first, stop in self.evaluation.benchmarks}
        return LongPromptRows(training_rows=sum(training), evaluation_rows=benchmarks)

    @cached_property
    def _asked(self) -> PromptVectors:
        """Return the vectors of all evaluation rows, in their order."""
        held_out = [own.only(~source.train) for source, own in zip(self.sources, self.vectors, strict=True)]
        return PromptVectors.joined([*held_out, self.outside] if len(self.outside) else held_out)
