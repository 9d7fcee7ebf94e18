"""The tokens of long prompts, and of each of their windows with the special tokens that the encoder expects."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_MOST_SPECIAL_TOKENS = 8  # that a tokenizer adds to a prompt
_PROBE = "red house"
_MADE_HERE = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class WindowTokens:
    """Cuts prompts into windows by the tokenizer's own ids."""

    def __init__(self, model: "SentenceTransformer") -> None:
        """Ask the encoder how it reads a prompt, by one."""
        from transformers import PreTrainedTokenizerBase

        probe: Any = model.preprocess([_PROBE])
        mask, tokenizer = probe.get("attention_mask"), model.tokenizer
        self.room = sys.maxsize
        """Tokens of a prompt in one window, without special ones."""
        self.divides = False
        """Whether windows after the first can be made; else prompts are read in their first alone."""
        # One that names no limit, or has no mask and is no transformer, reads all there is.
        limit = model.max_seq_length
        if limit is None or mask is None or mask.dim() != 2 or not isinstance(tokenizer, PreTrainedTokenizerBase):
            return
        self._limit, self._tokenizer = limit, tokenizer
        name: Any = model.default_prompt_name
        self._prefix: str = (model.prompts.get(name) if name else None) or ""
        [whole], [body] = ([*self._ids([_PROBE], special)] for special in (True, False))
        self.room = limit - (len(whole) - len(body))
        starts = [start for start in range(len(whole) - len(body) + 1) if whole[start : start + len(body)] == body]
        of_tokens = {name for name, value in probe.items() if getattr(value, "shape", None) == mask.shape}
        self.divides = bool(starts) and of_tokens <= _MADE_HERE and self.room > 0
        if self.divides:
            self._before, self._after = whole[: starts[0]], whole[starts[0] + len(body) :]
            self._names, self._others = of_tokens, {name: probe[name] for name in probe if name not in of_tokens}

    def maybe_long(self, prompts: Sequence[str]) -> list[int]:
        """Return the prompts that may be of several windows, without cutting them into tokens.

        A token is a byte at least: most prompts are short by their bytes.
        """
        if self.room == sys.maxsize:
            return []
        least = self._limit - len(self._prefix) - _MOST_SPECIAL_TOKENS
        return [row for row, prompt in enumerate(prompts) if len(prompt.encode("utf-8", "replace")) > least]

    def bodies(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of whole prompts, without special ones."""
        if not prompts or self.room == sys.maxsize:
            return [[] for _ in prompts]
        return self._ids([self._prefix + prompt for prompt in prompts], special=False)

    def features(self, windows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return what the encoder's first module takes for some windows, given without special tokens, padded."""
        import torch

        longest = max(map(len, windows)) + len(self._before) + len(self._after)
        empty = {name: torch.zeros((len(windows), longest), dtype=torch.long) for name in sorted(self._names)}
        for row, window in enumerate(windows):
            self.put(empty, row, window)
        return {**self._others, **empty}

    def put(self, features: Mapping[str, Any], row: int, window: Sequence[int]) -> None:
        """Write a window into a row of features, with its special tokens, as wide as these are."""
        import torch

        tokens = torch.tensor([*self._before, *window, *self._after])
        ids, mask = features["input_ids"], features["attention_mask"]
        in_front = self._tokenizer.padding_side == "left"
        part = slice(ids.shape[1] - len(tokens), None) if in_front else slice(None, len(tokens))
        padding: Any = self._tokenizer.pad_token_id
        ids[row], mask[row] = padding or 0, 0
        ids[row, part], mask[row, part] = tokens, 1
        if "token_type_ids" in features:
            features["token_type_ids"][row] = 0

    def _ids(self, texts: list[str], special: bool) -> list[list[int]]:
        options: dict[str, Any] = {"truncation": False, "padding": False, "verbose": False}
        tokenizer: Any = self._tokenizer
        return tokenizer(texts, add_special_tokens=special, **options)["input_ids"]
