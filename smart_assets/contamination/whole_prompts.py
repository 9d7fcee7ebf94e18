"""Rows that hold the whole prompt of an evaluation row, however many rows hold it.

A row that holds a template's text holds all n-grams of an evaluation prompt but those with a word of what the template
was filled with: to hold all of them is to hold the prompt. So no n-gram is left out of account here.
"""

import numpy as np
from numpy.typing import NDArray

from smart_assets.contamination.arrays import ranges
from smart_assets.contamination.matches import Matches
from smart_assets.contamination.ngram_index import Postings, TextNgrams


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
        self._asked = TextNgrams.of(postings, postings.asked, count)
        ngrams, texts = self._asked.ngrams, self._asked.texts()
        common = common[self._asked.places]
        # Those that are no template come first, then those that the fewest evaluation rows have.
        by_rarity = np.lexsort((ngrams, np.diff(postings.starts)[ngrams], common, texts))
        first = by_rarity[np.searchsorted(texts[by_rarity], np.unique(texts))]
        first = first[~common[first]]
        by_ngram = np.argsort(ngrams[first], kind="stable")
        self._rarest, self._of = ngrams[first][by_ngram], texts[first][by_ngram]

    def held_by(self, rows: NDArray[np.int64], ngrams: NDArray[np.int64]) -> Matches:
        """Return the pairs of a row and an evaluation row whose whole prompt it holds.

        Args:
            rows: (h,) rising.
            ngrams: (h,) that each row holds; of a row rising.
        """
        first, last = (np.searchsorted(self._rarest, ngrams, side) for side in ("left", "right"))
        times = last - first
        row = np.repeat(rows, times)
        evaluation = self._of[ranges(first, times)]
        whole = self._asked.shared(row, evaluation, rows, ngrams) == self._asked.sizes()[evaluation]
        return Matches(row[whole], evaluation[whole], np.ones(int(whole.sum())))
