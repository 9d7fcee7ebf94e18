"""Evaluation text that was copied any number of times is found; what a template says is not."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from smart_assets.contamination.ngram_overlap import NgramFindings
from smart_assets_tests.support.contamination_oracle import NaiveRule, Row, search, triples

ROWS = 20  # of a task
TASK, EXAM, OTHERS = 0, 1, 2  # groups: what is trained on, what is evaluated on, more tasks
DEFAULTS = (13, 0.1, 0.2)


class Writer:
    """Texts of words that no other text has in this order."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)

    def text(self, words: int) -> str:
        return " ".join(f"w{number}" for number in self._random.integers(0, 2000, words))

    def rows(self, count: int, group: int, words: int = 40) -> list[Row]:
        return [(self.text(words), self.text(3), group) for _ in range(count)]


def find(rows: Sequence[Row], evaluation: Sequence[Row], folder: Path, named: Sequence[int] = ()) -> NgramFindings:
    return search(NaiveRule(rows, evaluation, *DEFAULTS, named), folder)


def found_rows(findings: NgramFindings) -> set[int]:
    return {row for row, *_ in triples(findings.overlapping)}


def part(start: float, stop: float) -> Callable[[str], str]:
    def cut(text: str) -> str:
        words = text.split()
        return " ".join(words[int(start * len(words)) : int(stop * len(words))])

    return cut


COPIES = {
    "whole": part(0, 1),
    "first half": part(0, 0.5),
    "second half": part(0.5, 1),
    "middle": part(0.25, 0.75),
    "dressed": lambda text: text.upper().replace(" ", " -\n\t", 20).replace(" W", "; “W"),
}


def exam(kind: str, writer: Writer, asked: str) -> list[Row]:
    """Evaluation rows of one group, the first of which is planted."""
    if kind == "alone":
        return [(asked, "yes", EXAM)]
    if kind == "pair":
        return [(asked, "yes", EXAM), *writer.rows(1, EXAM)]
    if kind == "asked often":  # one prompt with several responses, as where a set lists all right ones
        return [(asked, f"answer {number}", EXAM) for number in range(6)] + writer.rows(14, EXAM)
    if kind == "preamble":  # a long one, which all rows share
        preamble = writer.text(80)
        return [
            (f"{preamble} {text}", response, EXAM) for text, response, _ in [(asked, "yes", 0), *writer.rows(19, 0)]
        ]
    return [(asked, "yes", EXAM), *writer.rows(19, EXAM)]


@pytest.mark.parametrize("kind", ["twenty", "alone", "pair", "asked often", "preamble"])
@pytest.mark.parametrize("copy", COPIES)
def test_a_prompt_is_found_in_however_many_rows_of_a_task_it_is(copy: str, kind: str, tmp_path: Path) -> None:
    for times in range(1, ROWS + 1):
        writer = Writer(times)
        asked = writer.text(60)
        planted = [
            (f"{writer.text(9)} {COPIES[copy](asked)} {writer.text(9)}", "ok", TASK) for _ in range(times)
        ] + writer.rows(ROWS - times, TASK)
        others = writer.rows(30, OTHERS)
        findings = find([*planted, *others], exam(kind, writer, asked), tmp_path)
        # Of all rows, a part of what is asked may be their template.
        nearly_all = times > 0.9 * ROWS and (copy not in ("whole", "dressed") or kind == "preamble")
        assert found_rows(findings) == (set() if nearly_all else set(range(times))), times
        undecided = {row for row, *_ in triples(findings.undecided)}
        assert undecided - found_rows(findings) == (set(range(times)) if nearly_all else set()), times


@pytest.mark.parametrize("named", [(), (TASK,)], ids=["unnamed", "named"])
@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("count", [5, 20, 100])
def test_copies_in_the_evaluation_rows_own_task_are_found_or_undecided(
    count: int, copy: str, named: Sequence[int], tmp_path: Path
) -> None:
    """Where a part of a task's training rows say what one held-out row does: its template, or copies of it."""
    for times in sorted({1, 2, 3, count // 2, count * 4 // 5}):
        writer = Writer(times)
        asked = writer.text(60)
        rows = [(f"{writer.text(9)} {COPIES[copy](asked)} {writer.text(9)}", "ok", TASK) for _ in range(times)]
        rows += writer.rows(count - times, TASK)
        findings = find(rows, [(asked, "yes", TASK), *writer.rows(count // 10 + 1, TASK)], tmp_path, named)
        undecided = {row for row, *_ in triples(findings.undecided)}
        assert found_rows(findings) | undecided == set(range(times)), times
        if copy in ("whole", "dressed"):
            assert found_rows(findings) == set(range(times)), times


@pytest.mark.parametrize("times", [1, 2, 3, 6, 12, 18])
def test_most_of_a_short_prompt_is_found_however_often_it_was_copied(times: int, tmp_path: Path) -> None:
    writer = Writer(times)
    asked = writer.text(30)
    copied = part(0.2, 0.8)(asked)  # 18 words, 6 of its 18 n-grams
    rows = [(f"{writer.text(9)} {copied} {writer.text(9)}", "ok", TASK) for _ in range(times)]
    findings = find(rows + writer.rows(ROWS - times, TASK), exam("twenty", writer, asked), tmp_path)
    assert found_rows(findings) == set(range(times))


@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_found_over_several_tasks(copy: str, tmp_path: Path) -> None:
    for times in (2, 3, 4, 6, 12, 20, 60):
        writer = Writer(times)
        asked = writer.text(60)
        rows = [row for group in range(OTHERS, OTHERS + 4) for row in writer.rows(ROWS, group)]
        for place in np.random.default_rng(times).choice(len(rows), times, replace=False).tolist():
            prompt, response, group = rows[place]
            rows[place] = (f"{prompt} {COPIES[copy](asked)}", response, group)
        findings = find(rows, exam("twenty", writer, asked), tmp_path)
        planted = {place for place, row in enumerate(rows) if len(row[0]) > 250}
        assert (len(planted), found_rows(findings)) == (times, planted)


@pytest.mark.parametrize("words", [13, 20, 60, 400])
@pytest.mark.parametrize("named", [(), (TASK, EXAM)], ids=["unnamed", "named"])
@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_a_template_is_no_evaluation_text(count: int, named: Sequence[int], words: int, tmp_path: Path) -> None:
    """Training and evaluation rows of one template, filled with texts of their own; as long as all rows have it."""
    writer = Writer()
    template = writer.text(words)
    rows = [(f"{template} {text}", response, TASK) for text, response, _ in writer.rows(60, TASK, 20)]
    evaluation = [(f"{template} {text}", response, EXAM) for text, response, _ in writer.rows(count, EXAM, 20)]
    assert found_rows(find(rows, evaluation, tmp_path, named)) == set()
    same_group = [(prompt, response, TASK) for prompt, response, _ in evaluation]
    assert found_rows(find(rows, same_group, tmp_path, named)) == set()


def test_one_of_several_templates_of_a_task_without_names_is_no_evaluation_text(tmp_path: Path) -> None:
    writer = Writer()
    templates = [writer.text(40) for _ in range(6)]

    def filled(count: int, group: int) -> list[Row]:
        return [
            (f"{templates[at % 6]} {text}", response, group)
            for at, (text, response, _) in enumerate(writer.rows(count, group, 20))
        ]

    findings = find(filled(60, TASK), filled(60, EXAM), tmp_path)
    assert (found_rows(findings), len(findings.undecided.rows)) == (set(), 0)


def test_a_passage_of_a_part_of_a_templates_rows_is_evaluation_text(tmp_path: Path) -> None:
    """As movie plots in T0: many questions on one plot, in held-out rows, too."""
    writer = Writer()
    plots = [writer.text(150) for _ in range(4)]

    def asked(count: int) -> list[Row]:
        return [(f"Question: {writer.text(8)} Plot: {plots[at % 4]}", writer.text(2), TASK) for at in range(count)]

    rows = asked(90)
    assert found_rows(find(rows, asked(10), tmp_path, [TASK])) == set(range(90))
    assert found_rows(find(rows, writer.rows(10, TASK), tmp_path, [TASK])) == set()


def test_a_response_is_found_as_a_prompt_is(tmp_path: Path) -> None:
    writer = Writer()
    answer = writer.text(60)
    rows = [(writer.text(30), answer, TASK) for _ in range(12)] + writer.rows(8, TASK)
    evaluation = [(writer.text(8), answer, EXAM), *writer.rows(19, EXAM)]
    assert found_rows(find(rows, evaluation, tmp_path)) == set(range(12))


@pytest.mark.parametrize(
    ("rows", "times", "words", "found"),
    [
        pytest.param(30, 3, 22, True, id="in a tenth of the rows: not common"),
        pytest.param(30, 4, 22, False, id="in more than a tenth: common, and less than half of the words"),
        pytest.param(4, 2, 22, True, id="in two rows: not common however few there are"),
        pytest.param(4, 3, 22, False, id="in three of four"),
        pytest.param(20, 18, 30, True, id="half of the words in nine tenths of the rows"),
        pytest.param(20, 19, 30, False, id="half of the words in more than nine tenths"),
        pytest.param(20, 12, 29, False, id="a word less than half, in many rows"),
        pytest.param(20, 2, 22, True, id="a fifth of the n-grams, in few rows"),
        pytest.param(20, 2, 21, False, id="less than a fifth"),
    ],
)
def test_how_many_words_in_how_many_rows(rows: int, times: int, words: int, found: bool, tmp_path: Path) -> None:
    writer = Writer()
    asked = writer.text(60)
    copied = " ".join(asked.split()[:words])
    planted = [(f"{writer.text(5)} {copied}", "", TASK) for _ in range(times)] + writer.rows(rows - times, TASK)
    exact = [(asked, "", EXAM), *writer.rows(19, EXAM)]
    assert found_rows(find(planted, exact, tmp_path)) == (set(range(times)) if found else set())


def test_unrelated_rows_of_common_words_are_not_found(tmp_path: Path) -> None:
    """Few words, so that short runs meet by chance all the time."""
    random = np.random.default_rng(0)

    def text(words: int) -> str:
        return " ".join(f"w{number}" for number in random.zipf(1.5, words).clip(max=50))

    rows = [(text(60), text(5), at % 9) for at in range(442)]
    evaluation = [(text(60), text(5), 9 + at % 5) for at in range(60)]
    assert found_rows(find(rows, evaluation, tmp_path)) == set()
