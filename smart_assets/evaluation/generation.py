"""Answers in the model's own words, where responses are long: written greedily, compared with the response by ROUGE-L.

ROUGE-L F as `rouge_score` computes it (Lin 2004), without stemming: its words are runs of a-z and 0-9, so that scripts
without these letters score 0.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from statistics import median
from typing import Any

from smart_assets.evaluation.encoded_text import scored_pair
from smart_assets.evaluation.language_model import LanguageModel
from smart_assets.evaluation.lm_eval_task import Request, RowRequests, ask_rows
from smart_assets.evaluation.rows import AskedRow, RowResult
from smart_assets.evaluation.settings import Generate


def rows_to_write(rows: Sequence[AskedRow], settings: Generate) -> list[AskedRow]:
    """Return the first rows of each task whose responses are long by their median, in the rows' order."""
    chosen: list[AskedRow] = []
    for _, group in groupby(rows, key=lambda row: row.instance.task):
        task = list(group)
        if median(len(row.instance.response.split()) for row in task) >= settings.min_words:
            chosen += task[: settings.rows_per_task]
    return chosen


def write_answers(
    model: LanguageModel, rows: Sequence[AskedRow], results: Sequence[RowResult], settings: Generate
) -> list[RowResult]:
    """Return the results (n,) of the rows (n,), with what the model writes for those of long responses.

    It is given all that stands before the response, what the chat template writes there included. An answer ends at
    the end of the turn or text, or after `max_tokens` tokens; a prompt that leaves less room loses its middle.
    """
    from rouge_score.rouge_scorer import RougeScorer

    chosen = rows_to_write(rows, settings)
    window = int(model.lm.max_length)
    tokens = min(settings.max_tokens, window // 2)

    def requests(row: AskedRow) -> Sequence[Request]:
        arguments = {"until": [row.end.strip()], "max_gen_toks": tokens, "do_sample": False}
        room = window - tokens - (row.own.scored_from - row.own.learnt_from)
        context, _ = scored_pair(model.encoder.cut(row.own, row.instance, max(1, room)))
        return [("generate_until", (context, arguments))]

    answers = ask_rows(model.lm, chosen, RowRequests(requests, lambda _, answers: {"prediction": answers[0].strip()}))
    scorer = RougeScorer(["rougeL"])
    predictions = {
        (row.instance.task, row.instance.id): (row.instance.response, figures["prediction"])
        for row, figures in zip(chosen, answers, strict=True)
    }
    return [
        _with_prediction(result, *predictions[result.task, result.id], scorer)
        if (result.task, result.id) in predictions
        else result
        for result in results
    ]


def _with_prediction(result: RowResult, response: str, prediction: str, scorer: Any) -> RowResult:
    measured = {"rouge_l": float(scorer.score(response, prediction)["rougeL"].fmeasure)}
    return replace(result, prediction=prediction, measured={**result.measured, **measured})
