"""Scoring rows teacher-forced: one pass gives the response loss, and whether greedy decoding would write the response.

The latter is so exactly when the most likely token is the right one at every position, the end token included. That
makes exact match as cheap as the loss, with nothing generated. lm-eval's own `perplexity` is a mean per document; here
losses are summed over tokens first, so that each response token counts the same. Tokens are those of training.

Where a task's responses are few, each of them is scored as the continuation: the one of the least total loss (sum of
nats, its end token included, not divided by its length) is the model's choice; of equal ones the first in sorted order.
Beside this `accuracy`, lm-eval's `acc` and `acc_norm` rank the same texts without an end token, as its tasks of
multiple choice ask them, in lm-eval's own tokens: these are continuations of their own, scored in the same pass.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from smart_assets.core.errors import EvaluationError
from smart_assets.evaluation.encoded_text import bare_pair, scored_pair
from smart_assets.evaluation.lm_eval_task import Request, RowRequests, ask_rows
from smart_assets.evaluation.rows import AskedRow, RowResult


def score_rows(lm: Any, rows: Sequence[AskedRow], benchmark: str) -> list[RowResult]:
    """Score rows (those of a task standing together) by the model, in their order.

    Raises:
        EvaluationError: a loss is not finite.
    """
    measured = ask_rows(lm, rows, RowRequests(_requests, _read))
    return [_row_result(row, benchmark, figures) for row, figures in zip(rows, measured, strict=True)]


def _requests(row: AskedRow) -> Sequence[Request]:
    asked = [scored_pair(encoded) for encoded in row.encoded]
    bare = [bare_pair(encoded, row.end_tokens) for encoded in row.encoded] if row.choices else []
    return [("loglikelihood", pair) for pair in (*asked, *bare)]


def _read(row: AskedRow, answers: Sequence[tuple[float, bool]]) -> Mapping[str, Any]:
    own = row.choices.index(row.instance.response) if row.choices else 0
    log_likelihoods = [log_likelihood for log_likelihood, _ in answers]
    with_end, bare = np.split(np.array(log_likelihoods), [len(row.encoded)])
    figures = {"loss_sum": float(-log_likelihoods[own]), "exact_match": bool(answers[own][1])}
    if not row.choices:
        return figures
    characters = np.array([len(choice) for choice in row.choices])
    rankings = {"choice_correct": with_end, "acc": bare, "acc_norm": bare / characters}
    # The first of equal ones: lm-eval's argmax over the choices in their order.
    return figures | {name: bool(np.argmax(values) == own) for name, values in rankings.items()}


def _row_result(row: AskedRow, benchmark: str, figures: Mapping[str, Any]) -> RowResult:
    if not isfinite(figures["loss_sum"]):
        raise EvaluationError(
            f"{benchmark}: row {row.instance.id!r} of task {row.instance.task!r}: the model's loss is "
            f"{figures['loss_sum']}; "
            'its weights are damaged, or evaluate in precision "float32"'
        )
    return RowResult(
        id=row.instance.id,
        task=row.instance.task,
        measured={**figures, "tokens": row.tokens, "bytes": row.response_bytes},
        benchmark=benchmark,
    )
