"""Continuations of one context in one pass: the context is computed once, and no continuation sees another.

Choices that are ranked share their whole prompt, which is nearly all there is to compute of them. So a context and its
continuations become one sequence, in which every continuation follows the context by its positions and its attention:
what each token is given is what it is given alone. Logits are computed only where a token of a continuation is to be
predicted.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smart_assets.training.adapters import without_adapters
from smart_assets.training.loss import takes_logits_to_keep

TokenRequest = tuple[Any, list[int], list[int]]
"""lm-eval's: the texts, the context's tokens and the continuation's."""

Answer = tuple[float, bool]
"""The continuation's log-likelihood, and whether greedy decoding would write it."""

_CONTEXT, _PADDING = 0, -1
_MOST_LEAD = 8
"""Tokens by which a context may go on from another one and share its sequence: each continuation repeats them."""


@dataclass(frozen=True, slots=True)
class SharedContext:
    """A context and some of its continuations, those of slightly longer contexts with what these have more."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    leads: tuple[int, ...]  # tokens of each continuation that belong to its context, and are not scored
    places: tuple[int, ...]  # of the continuations among the requests

    @property
    def length(self) -> int:
        """Tokens of the sequence: nothing is predicted from a continuation's last one, so it is not part of it."""
        return len(self.context) + sum(len(continuation) - 1 for continuation in self.continuations)

    @property
    def asked(self) -> list[Any]:
        """All that decides the answers, as JSON."""
        return [self.context, self.continuations, *([self.leads] if any(self.leads) else [])]


def shares_contexts(model: Any) -> bool:
    """Return whether a model goes by the positions and the attention it is given, of every token alike.

    So do transformers' own decoders with full attention in each layer. Recurrent layers, windows of attention,
    distances or positions that the model counts itself and kernels that take no mask do not.
    """
    base = without_adapters(model)
    config = base.config.get_text_config()
    layers = getattr(config, "layer_types", None) or ["full_attention"]
    return (
        takes_logits_to_keep(base)
        and "position_ids" in inspect.signature(base.forward).parameters
        and not getattr(base, "_is_stateful", False)
        and config._attn_implementation == "sdpa"
        and not getattr(config, "alibi", False)
        and not hasattr(config, "type_vocab_size")  # BERT's kin, of which some count positions from their padding
        and set(layers) == {"full_attention"}
        and not (getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True))
    )


def share_contexts(requests: Sequence[TokenRequest], window: int) -> list[SharedContext]:
    """Put continuations of equal contexts together, as many as make no longer a sequence than `window` tokens.

    A context that goes on from another one by a few tokens is taken for that one, and these tokens for the beginning of
    its continuations: choices that are ranked with and without the line break before them share their prompt. A context
    loses its start where its continuation would not fit after it. Contexts are in order of their tokens.
    """
    # A sequence lacks the continuation's last token, hence the one token more that a window holds.
    kept = [tuple(context[-(window + 1 - len(continuation)) :]) for _, context, continuation in requests]
    shared = _shared(sorted(set(kept)))
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, context in enumerate(kept):
        groups.setdefault(shared[context], []).append(place)
    shared_contexts: list[SharedContext] = []
    for context, members in sorted(groups.items()):
        leads = {place: kept[place][len(context) :] for place in members}
        asked = {place: (*leads[place], *requests[place][2]) for place in members}
        for places in _parts(members, [len(asked[place]) - 1 for place in members], window - len(context)):
            continuations = tuple(asked[place] for place in places)
            shared_contexts.append(
                SharedContext(context, continuations, tuple(len(leads[place]) for place in places), tuple(places))
            )
    return shared_contexts


def _shared(contexts: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Return for each of some distinct contexts in order the one whose sequence it shares: itself, or its beginning."""
    sharing: dict[tuple[int, ...], tuple[int, ...]] = {}
    base: tuple[int, ...] | None = None
    for context in contexts:  # what begins a context comes before it
        if base is None or context[: len(base)] != base or len(context) - len(base) > _MOST_LEAD:
            base = context
        sharing[context] = base
    return sharing


def _parts(places: Sequence[int], lengths: Sequence[int], room: int) -> list[list[int]]:
    """Cut a list, so that each part's lengths sum up to `room` at most; a part has one element at least."""
    parts: list[list[int]] = [[]]
    left = room
    for place, length in zip(places, lengths, strict=True):
        if parts[-1] and length > left:
            parts.append([])
            left = room
        parts[-1].append(place)
        left -= length
    return parts


def score_continuations(model: Any, device: Any, groups: Sequence[SharedContext]) -> list[Answer]:
    """Return the answers to all continuations of some groups, one after another, by one pass of the model."""
    import torch

    layout = _lay_out(groups)
    targets = [token for group in groups for continuation in group.continuations for token in continuation]
    ends = np.cumsum([len(continuation) for group in groups for continuation in group.continuations])[:-1].tolist()

    def tensor(values: Any) -> Any:
        return torch.as_tensor(values, device=device)

    with torch.inference_mode():
        logits = model(
            input_ids=tensor(layout.tokens),
            position_ids=tensor(layout.positions),
            attention_mask=_attention(tensor(layout.branches)),
            logits_to_keep=tensor(layout.predicts),
            use_cache=False,
        ).logits
        scores = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
        predictors, tokens = tensor(layout.predictors), tensor(targets)
        likely = scores[predictors, tokens].cpu().tensor_split(ends)
        greedy = (scores.argmax(dim=-1)[predictors] == tokens).cpu().tensor_split(ends)
    leads = [lead for group in groups for lead in group.leads]
    return [
        (float(sums[lead:].sum()), bool(right[lead:].all()))
        for sums, right, lead in zip(likely, greedy, leads, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Some groups as sequences, padded right into (b, n)."""

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    branches: NDArray[np.int64]  # `_CONTEXT`, the number of the continuation, or `_PADDING`
    predicts: NDArray[np.bool_]  # whether a token of a continuation is predicted from here
    predictors: NDArray[np.int64]  # (t,) for all tokens of all continuations: from which of the k places that predict


def _lay_out(groups: Sequence[SharedContext]) -> _Layout:
    shape = (len(groups), max(group.length for group in groups))
    tokens, positions, branches = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, _PADDING)
    predictors: list[int] = []  # as places in the flattened (b, n)
    for row, group in enumerate(groups):
        start = context = len(group.context)
        tokens[row, :context] = group.context
        positions[row, :context] = np.arange(context)
        branches[row, :context] = _CONTEXT
        for branch, continuation in enumerate(group.continuations, start=1):
            # The last token predicts nothing that is asked, so it is no part of the sequence.
            end = start + len(continuation) - 1
            tokens[row, start:end] = continuation[:-1]
            # Each continuation's positions go on from the context's, as if no other one stood before it.
            positions[row, start:end] = np.arange(context, context + end - start)
            branches[row, start:end] = branch
            # The context's last token predicts the first of each continuation; the rest predict the next one.
            predictors += [row * shape[1] + place for place in (context - 1, *range(start, end))]
            start = end
    # Many continuations share the context's last token: its logits are computed once.
    kept, places = np.unique(predictors, return_inverse=True)
    predicts = np.zeros(shape, bool)
    predicts.flat[kept] = True
    return _Layout(tokens, positions, branches, predicts, places)


def _attention(branches: Any) -> Any:
    """Return which positions each one sees: itself and those before it, of the context and of its own continuation."""
    import torch

    places = torch.arange(branches.shape[1], device=branches.device)
    before = places[None, :] <= places[:, None]
    own = (branches[:, None, :] == branches[:, :, None]) | (branches[:, None, :] == _CONTEXT)
    return (before & own)[:, None]
