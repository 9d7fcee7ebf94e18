"""lm-eval's class for transformers models, with batches of our own: bounded, remembered, and told of in lines."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from smart_assets.evaluation.answer_cache import AnswerCache
from smart_assets.evaluation.batches import BatchLimits, plan_batches
from smart_assets.evaluation.encoded_text import EncodedText, asked_as, padded_left
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.evaluation.shared_context import (
    Answer,
    SharedContext,
    score_continuations,
    share_contexts,
    shares_contexts,
)


class Batcher:
    """Runs requests batch by batch: remembered ones are not computed, and what memory does not hold goes in parts."""

    def __init__(self, limits: BatchLimits, answers: AnswerCache, progress: RequestProgress) -> None:
        self.limits = limits
        self.answers = answers
        self.progress = progress
        self._parts = 1  # that a batch is computed in; twice as many each time the memory did not suffice

    def run(self, asked: Any, groups: Sequence[Any], compute: Callable[[Sequence[Any]], list[Any]]) -> list[Any]:
        """Return the answers to one batch.

        Args:
            asked: all that the answers depend on, as JSON; None for answers that differ from time to time.
            groups: (g,) what may be computed apart from each other.
            compute: gives the answers to some neighbouring groups; the answers to all are these one after another.

        Raises:
            OutOfMemoryError: of torch; not even one group at a time can be computed.
        """
        answers = None if asked is None else self.answers.recall(asked)
        if answers is None:
            answers = self._compute(groups, compute)
            if asked is not None:
                self.answers.remember(asked, answers)
        self.progress.advance(len(answers))
        return answers

    def _compute(self, groups: Sequence[Any], compute: Callable[[Sequence[Any]], list[Any]]) -> list[Any]:
        import torch

        while True:
            # Rounded up, so that there are no more parts than asked for.
            size = max(1, -(-len(groups) // self._parts))
            try:
                return [
                    answer for start in range(0, len(groups), size) for answer in compute(groups[start : start + size])
                ]
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self._parts *= 2
            torch.cuda.empty_cache()
            self.progress.tell(f"the device's memory does not suffice for {size} rows at once: tried with half as many")


def reporting_lm(batcher: Batcher) -> Any:
    """Return the class; its instances answer through the batcher."""
    from lm_eval.models.huggingface import HFLM

    base: Any = HFLM  # its decorator hides its type

    class ReportingLM(base):
        def loglikelihood(self, requests: Any, **_: Any) -> Any:
            batcher.progress.begin(len(requests))
            return super().loglikelihood(requests, disable_tqdm=True)

        def loglikelihood_rolling(self, requests: Any, **_: Any) -> Any:
            batcher.progress.begin(len(requests))
            return super().loglikelihood_rolling(requests, disable_tqdm=True)

        def generate_until(self, requests: Any, **_: Any) -> Any:
            batcher.progress.begin(len(requests))
            return _generate(self, batcher, requests, self._generated)

        def tok_encode(self, string: str, *arguments: Any, **named: Any) -> Any:
            if isinstance(string, EncodedText):
                return list(string.tokens)
            return super().tok_encode(string, *arguments, **named)

        def tok_batch_encode(self, strings: Sequence[str], *arguments: Any, **named: Any) -> Any:
            encoded = [text for text in strings if isinstance(text, EncodedText)]
            if encoded:  # lm-eval puts requests of one task, and so of one kind, into a batch
                return padded_left(encoded, int(self.tokenizer.pad_token_id))
            return super().tok_batch_encode(strings, *arguments, **named)

        def _encode_pair(self, context: str, continuation: str) -> Any:
            if isinstance(context, EncodedText) and isinstance(continuation, EncodedText):
                return list(context.tokens), list(continuation.tokens)
            return super()._encode_pair(context, continuation)

        def _loglikelihood_tokens(self, requests: Any, *_: Any, **__: Any) -> Any:
            return _score(self, batcher, requests, partial(self._scored, requests))

        def _scored(self, requests: Any, groups: Sequence[SharedContext]) -> list[Answer]:
            self.batch_size_per_gpu = len(groups)
            asked = [requests[place] for group in groups for place in group.places]
            return super()._loglikelihood_tokens(asked, disable_tqdm=True)

        def _generated(self, requests: Sequence[Any]) -> list[Any]:
            self.batch_size_per_gpu = len(requests)
            return super().generate_until(list(requests), disable_tqdm=True)

    return ReportingLM


def _generate(lm: Any, batcher: Batcher, requests: Any, compute: Callable[[Sequence[Any]], list[Any]]) -> list[str]:
    """Return the text that the model gives to each request; drawn ones are not remembered."""
    answers: dict[int, str] = {}
    for batch in _generations(requests, lm, batcher.limits):
        arguments = requests[batch[0]].args[1]
        contexts = [asked_as(requests[place].args[0]) for place in batch]
        asked = None if arguments.get("do_sample") else ["generate_until", arguments, contexts]
        texts = batcher.run(asked, [requests[place] for place in batch], compute)
        answers.update(zip(batch, texts, strict=True))
    return [answers[place] for place in range(len(requests))]


def _score(
    lm: Any, batcher: Batcher, requests: Any, one_by_one: Callable[[Sequence[SharedContext]], list[Answer]]
) -> list[Answer]:
    """Return log-likelihood and greediness of each request.

    A context is computed once for all its continuations, where the model can; else `one_by_one` scores them.
    """
    groups = share_contexts(requests, lm.max_length)
    shares = shares_contexts(lm.model)
    compute = partial(score_continuations, lm.model, lm.device) if shares else one_by_one
    answers: dict[int, Answer] = {}
    for batch in plan_batches([group.length for group in groups], batcher.limits, int(lm.vocab_size)):
        parts = [groups[place] for place in batch]
        asked = ["loglikelihood", shares, [group.asked for group in parts]]
        places = [place for group in parts for place in group.places]
        for place, (loss, greedy) in zip(places, batcher.run(asked, parts, compute), strict=True):
            answers[place] = (float(loss), bool(greedy))
    return [answers[place] for place in range(len(requests))]


def _generations(requests: Any, lm: Any, limits: BatchLimits) -> list[list[int]]:
    """Return batches of places; in each the arguments of generation are the same."""
    alike: dict[str, list[int]] = {}
    for place, request in enumerate(requests):
        # lm-eval gives a batch one set of arguments: requests of others may not stand in it.
        alike.setdefault(json.dumps(request.args[1], sort_keys=True, default=str), []).append(place)
    batches: list[list[int]] = []
    for places in alike.values():
        most = int(requests[places[0]].args[1].get("max_gen_toks", lm.max_gen_toks))
        lengths = [min(len(lm.tok_encode(requests[place].args[0])) + most, lm.max_length) for place in places]
        planned = plan_batches(lengths, limits, int(lm.vocab_size))
        batches += [[places[place] for place in batch] for batch in planned]
    return batches
