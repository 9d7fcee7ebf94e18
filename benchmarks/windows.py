"""What vectors of long prompts tell apart: `python -m benchmarks.windows --help`.

Pairs of prompts are planted in running text: with one preamble and other bodies, of one document with other questions,
and the same but for some words. Prints the cosines of their beginnings, of the means of their windows and of their last
windows, and how many pairs each rule takes for the same question.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from smart_assets.contamination.settings import Contamination
from smart_assets.embedding.cache import VectorCache
from smart_assets.embedding.embed import embed_prompts
from smart_assets.embedding.encoder import load_encoder
from smart_assets.embedding.settings import Embedding
from smart_assets.tasks.rows import content_hash

TASKS = Path(__file__).resolve().parents[2] / "shared" / "data" / "t0"
SEED = 3
Pair = tuple[str, str]


@dataclass
class Texts:
    """Running text, and questions."""

    random: np.random.Generator
    words: list[str]
    questions: list[str]

    def take(self, count: int) -> str:
        """Return so many words of running text."""
        start = int(self.random.integers(0, len(self.words) - count))
        return " ".join(self.words[start : start + count])

    def question(self) -> str:
        """Return a question."""
        return self.questions[int(self.random.integers(0, len(self.questions)))]

    def changed(self, text: str, share: float) -> str:
        """Return a text with a share of its words replaced."""
        words = text.split()
        for place in np.flatnonzero(self.random.random(len(words)) < share).tolist():
            words[place] = self.words[int(self.random.integers(0, len(self.words)))]
        return " ".join(words)


def main(
    texts: Annotated[Path, typer.Option(help="A folder of .jsonl files with prompts.", exists=True)] = TASKS,
    pairs: Annotated[int, typer.Option(help="Pairs of each kind.", min=2)] = 20,
    model: Annotated[str, typer.Option(help="As `embedding.model` in smart.yaml.")] = Embedding().model,
) -> None:
    """Embed planted pairs, once by their beginnings and once in windows."""
    made = read_texts(texts)
    kinds = {name: [plant(made) for _ in range(pairs)] for name, plant in PLANTED.items()}
    prompts = sorted({prompt for planted in kinds.values() for pair in planted for prompt in pair})
    place = {prompt: number for number, prompt in enumerate(prompts)}
    cut, _ = embedded(prompts, Embedding(model=model, windows=1))
    mean, last = embedded(prompts, Embedding(model=model))
    bound = Contamination().similarity or 1.0
    print(f"| pairs | beginning | mean | last window | found by beginning | by mean | by both, cosine >= {bound} |")
    print("|---|---|---|---|---|---|---|")
    for name, planted in kinds.items():
        first, second = (np.array([place[pair[side]] for pair in planted]) for side in (0, 1))
        cosines = [np.einsum("nd,nd->n", of_kind[first], of_kind[second]) for of_kind in (cut, mean, last)]
        by_cut, by_mean, by_last = (near >= bound for near in cosines)
        found = [f"{rule.mean():.0%}" for rule in (by_cut, by_mean, by_mean & by_last)]
        print(f"| {name} | {' | '.join([*map(spread, cosines), *found])} |")


def read_texts(folder: Path) -> Texts:
    """Return long prompts of a folder as running text, and short ones with a question mark as questions."""
    random = np.random.default_rng(SEED)
    files = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jsonl")))
    lines = [line for text in files for line in text.split("\n") if line]
    prompts: list[str] = [json.loads(lines[row])["prompt"] for row in random.permutation(len(lines))[:2000].tolist()]
    words = [word for prompt in prompts if len(prompt.split()) > 100 for word in prompt.split()]
    questions = [prompt for prompt in prompts if prompt.endswith("?") and 8 < len(prompt.split()) < 40]
    return Texts(random, words, questions)


def another_body(words: int, body: int, texts: Texts) -> Pair:
    """Return prompts of one preamble."""
    preamble = texts.take(words)
    return f"{preamble} {texts.take(body)}", f"{preamble} {texts.take(body)}"


def another_question(words: int, texts: Texts) -> Pair:
    """Return prompts of one document."""
    document = texts.take(words)
    return f"{document} {texts.question()}", f"{document} {texts.question()}"


def some_words(words: int, share: float, texts: Texts) -> Pair:
    """Return a prompt, and it with other words here and there."""
    prompt = texts.take(words)
    return prompt, texts.changed(prompt, share)


def begun_otherwise(words: int, texts: Texts) -> Pair:
    """Return a prompt, and it behind another sentence."""
    prompt = texts.take(words)
    return prompt, f"Please read this carefully. {prompt}"


PLANTED: dict[str, Callable[[Texts], Pair]] = {
    **{
        f"preamble of {n} words, other bodies of {b}": partial(another_body, n, b) for n in (350, 750) for b in (15, 45)
    },
    **{f"document of {n} words, other questions": partial(another_question, n) for n in (220, 400)},
    **{f"same prompt of {n} words, 1% changed": partial(some_words, n, 0.01) for n in (220, 400)},
    **{f"same prompt of {n} words, begun otherwise": partial(begun_otherwise, n) for n in (220, 400)},
}


def embedded(prompts: list[str], settings: Embedding) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the vectors of prompts, and of their last windows."""
    encoder = load_encoder(settings, "cpu")
    named = {content_hash(prompt): prompt for prompt in prompts}

    def read() -> Iterator[tuple[str, str]]:
        yield from named.items()

    with tempfile.TemporaryDirectory() as folder:
        links = Path(folder) / "links"
        cache = VectorCache(Path(folder) / "vectors", encoder.version, _log, links, encoder.windows)
        embed_prompts(read(), len(named), encoder, cache, _log)
        whole = np.empty((len(named), cache.width), np.float32)
        cache.fill(cache.rows_of(list(named)), whole)
        long = cache.long_prompts(list(named))
        ends = whole.copy()
        places = {name: row for row, name in enumerate(named)}
        ends[[places[name] for name in long["prompt_hash"].to_pylist()]] = cache.last_windows(long)
    return whole.astype(np.float64), ends.astype(np.float64)


def _log(line: str) -> None:
    typer.echo(line, err=True)


def spread(cosines: NDArray[np.float64]) -> str:
    """Return median and a range that holds 80 of 100."""
    low, middle, high = np.quantile(cosines, [0.1, 0.5, 0.9])
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    typer.run(main)
