"""Rows that hold the whole prompt of an evaluation row, however many rows hold it.

A row that holds a template's text holds all n-grams of an evaluation prompt but those with a word of what the template
was filled with: to hold all of them is to hold the prompt. So no n-gram is left out of account here.
"""

import numpy as np
from numpy.typing import NDArray

from smart_assets.contamination.arrays import among, ranges
from smart_assets.contamination.matches import Matches
from smart_assets.contamination.ngram_index import Postings

_MOST_LOOKUPS = 1 << 22


class WholePrompts:
    """The evaluation prompts that can be found so, each looked up by its rarest n-gram first."""

    def __init__(self, postings: Postings, count: int, common: NDArray[np.bool_]) -> None:
        """Take what the evaluation rows hold.

        Args:
            postings: of all n-grams of the evaluation rows.
            count: of evaluation rows.
            common: (p,) postings whose n-gram the evaluation rows of one group share: a prompt of nothing else is but
                its template.
        """
        ngrams = postings.ngrams()
        order = np.argsort(postings.texts, kind="stable")
        order = order[postings.asked[order]]
        self._ngrams = ngrams[order]  # of evaluation row e those from starts[e] to starts[e + 1], rising
        texts = postings.texts[order]
        self._starts = np.searchsorted(texts, np.arange(count + 1))
        # Those that are no template come first, then those that the fewest evaluation rows have.
        holders = np.diff(postings.starts)[self._ngrams]
        by_rarity = np.lexsort((self._ngrams, holders, common[order], texts))
        first = by_rarity[np.searchsorted(texts[by_rarity], np.unique(texts))]
        first = first[~common[order][first]]
        by_ngram = np.argsort(self._ngrams[first], kind="stable")
        self._rarest, self._of = self._ngrams[first][by_ngram], texts[first][by_ngram]

    @property
    def evaluation(self) -> NDArray[np.int64]:
        """The evaluation rows that are looked for, in no order."""
        return self._of

    def held_by(self, rows: NDArray[np.int64], ngrams: NDArray[np.int64]) -> Matches:
        """The pairs of a row and an evaluation row whose whole prompt it holds.

        Args:
            rows: (h,) rising.
            ngrams: (h,) that each row holds; of a row rising.
        """
        first, last = (np.searchsorted(self._rarest, ngrams, side) for side in ("left", "right"))
        times = last - first
        row = np.repeat(rows, times)
        evaluation = self._of[ranges(first, times)]
        width = int(max(self._ngrams.max(initial=0), ngrams.max(initial=0))) + 1
        held = rows * width + ngrams
        whole = np.ones(len(row), np.bool_)
        lookups = np.diff(self._starts)[evaluation]
        part = np.cumsum(lookups) // _MOST_LOOKUPS
        for chunk in np.split(np.arange(len(row)), np.flatnonzero(np.diff(part)) + 1):
            whole[chunk] = self._hold_all(row[chunk], evaluation[chunk], held, width)
        return Matches(row[whole], evaluation[whole], np.ones(int(whole.sum())))

    def _hold_all(
        self, rows: NDArray[np.int64], evaluation: NDArray[np.int64], held: NDArray[np.int64], width: int
    ) -> NDArray[np.bool_]:
        starts = self._starts[evaluation]
        times = self._starts[evaluation + 1] - starts
        pair = np.repeat(np.arange(len(rows)), times)
        lacking = ~among(rows[pair] * width + self._ngrams[ranges(starts, times)], held)
        return np.bincount(pair[lacking], minlength=len(rows)) == 0
