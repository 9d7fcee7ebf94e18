"""The bundled sample: the same bytes every time, uneven on purpose, and every answer right."""

import hashlib
import json
import operator
import re
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.core.errors import SourceError
from smart_assets.sample import tasks, write_sample

SEED_23 = "7122fe38afe323d55304d44fb6faebdce7b11dbc4f131aa91363a6eb03058dd4"


def digest(folder: Path) -> str:
    """One hash over the names and bytes of all files of a folder."""
    hashed = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()


def numbers_in(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def quoted(prompt: str) -> str:
    return prompt.split('"')[1]


def listed(prompt: str) -> list[str]:
    return prompt.rsplit(": ", 1)[-1].rstrip(".?").split(", ")


def sorted_list(prompt: str) -> str:
    items = listed(prompt)
    if "alphabetical" in prompt:
        return ", ".join(sorted(items))
    return ", ".join(sorted(items, key=int, reverse="largest to smallest" in prompt))


def following_day(prompt: str) -> str:
    if "Which date" in prompt:
        day = datetime.strptime(prompt.split("after ")[1].rstrip("?"), "%d %B %Y") + timedelta(days=1)
        return f"{day.day} {day:%B %Y}"
    monday = datetime(2024, 1, 1)
    week = [f"{monday + timedelta(days=days):%A}" for days in range(7)]
    start = next(place for place, name in enumerate(week) if name in prompt)
    return week[(start + numbers_in(prompt)[0]) % 7]


def month_length(prompt: str) -> str:
    start = datetime.strptime(prompt.split(" in ")[1].rstrip("?"), "%B %Y")
    return f"{((start + timedelta(days=31)).replace(day=1) - start).days} days"


def boolean(prompt: str) -> str:
    expression = re.search(r"(not )?\(.*\) (and|or) (True|False)", prompt)
    assert expression is not None
    return str(eval(expression.group(), {"__builtins__": {}}))  # noqa: S307 (matched above)


RECOMPUTED: dict[str, Callable[[str], str]] = {
    "add_two_numbers": lambda prompt: str(sum(numbers_in(prompt))),
    "sum_of_two_numbers": lambda prompt: str(sum(numbers_in(prompt))),
    "subtract_numbers": lambda prompt: str(max(numbers_in(prompt)) - min(numbers_in(prompt))),
    "multiply_numbers": lambda prompt: str(operator.mul(*numbers_in(prompt))),
    "largest_number": lambda prompt: str(max(numbers_in(prompt))),
    "next_in_sequence": lambda prompt: str(2 * numbers_in(prompt)[3] - numbers_in(prompt)[2]),
    "count_letters": lambda prompt: str(len(quoted(prompt))),
    "first_letter": lambda prompt: quoted(prompt)[0],
    "reverse_word": lambda prompt: "".join(reversed(quoted(prompt))),
    "uppercase_word": lambda prompt: quoted(prompt).upper(),
    "count_items": lambda prompt: str(len(listed(prompt))),
    "sort_list": sorted_list,
    "day_after": following_day,
    "days_in_month": month_length,
    "boolean_value": boolean,
}


@pytest.mark.parametrize("task", RECOMPUTED)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_answers_agree_with_a_second_computation(task: str, seed: int) -> None:
    for instance in tasks()[task].draw(seed):
        assert instance.response == RECOMPUTED[task](instance.prompt), instance


@pytest.mark.parametrize(
    ("task", "asked", "answer"),
    [
        ("convert_units", "minutes are there in 2 hours?", "120 minutes"),
        ("convert_units", "of 5 kilometers to meters", "5000 meters"),
        ("convert_units", "Write 36 inches as", "3 feet"),
        ("plural_noun", "child", "children"),
        ("country_currency", "Japan", "Japanese Yen"),
        ("country_currency", "Lithuania", "Euro"),
        ("name_in_language", "Germany called in Spanish", "Alemania"),
        ("name_in_language", "Sunday called in French", "dimanche"),
        ("name_in_language", "March called in German", "März"),
    ],
)
def test_known_answers(task: str, asked: str, answer: str) -> None:
    answers = {
        instance.response for seed in range(25) for instance in tasks()[task].draw(seed) if asked in instance.prompt
    }
    assert answers == {answer}


def test_writes_the_same_bytes_for_a_seed_and_others_for_another(tmp_path: Path) -> None:
    write_sample(tmp_path / "default")
    write_sample(tmp_path / "same", seed=23)
    write_sample(tmp_path / "other", seed=24)
    assert digest(tmp_path / "default") == digest(tmp_path / "same") == SEED_23
    assert digest(tmp_path / "other") != SEED_23


def test_replaces_its_own_files_and_leaves_others(tmp_path: Path) -> None:
    (tmp_path / "add_two_numbers.jsonl").write_text("old")
    (tmp_path / "mine.jsonl").write_text("kept")
    write_sample(tmp_path)
    assert (tmp_path / "mine.jsonl").read_text() == "kept"
    (tmp_path / "mine.jsonl").unlink()
    assert digest(tmp_path) == SEED_23


def test_files_hold_what_the_summary_and_the_registry_say(tmp_path: Path) -> None:
    summary = write_sample(tmp_path)
    rows = {path.stem: path.read_text("utf-8").splitlines() for path in tmp_path.glob("*.jsonl")}
    assert summary.folder == tmp_path
    assert {task: len(lines) for task, lines in rows.items()} == summary.rows
    assert summary.rows == {name: task.size for name, task in tasks().items()}
    for name, lines in rows.items():
        expected = [(one.prompt, one.response, one.template) for one in tasks()[name].draw(23)]
        assert [tuple(json.loads(line).values()) for line in lines] == expected
        assert all(list(json.loads(line)) == ["prompt", "response", "template"] for line in lines)


def test_sizes_are_small_and_uneven() -> None:
    sizes = sorted(task.size for task in tasks().values())
    assert 18 <= len(sizes) <= 20
    assert 2_200 <= sum(sizes) <= 2_600
    assert sizes[0] == 40
    assert sizes[-1] == 400
    assert sum(sizes[-5:]) > sum(sizes[:-5])


def test_at_least_six_tasks_have_several_templates() -> None:
    templates = [len({instance.template for instance in task.draw(23)}) for task in tasks().values()]
    assert sum(count > 1 for count in templates) >= 6
    assert templates.count(1) >= 6


def test_prompts_and_responses_are_short_clean_and_unambiguous() -> None:
    responses: dict[str, str] = {}
    for task in tasks().values():
        for instance in task.draw(23):
            assert 6 <= len(instance.prompt.split()) <= 25
            assert 1 <= len(instance.response.split()) <= 8
            for text in (instance.prompt, instance.response, instance.template):
                assert text == text.strip() != ""
            assert responses.setdefault(instance.prompt, instance.response) == instance.response


def test_some_rows_repeat_exactly_inside_several_tasks() -> None:
    repeated = {name: task.size - len(set(task.draw(23))) for name, task in tasks().items()}
    assert 0.008 <= sum(repeated.values()) / sum(task.size for task in tasks().values()) <= 0.015
    assert sum(count > 0 for count in repeated.values()) >= 6


def test_some_rows_repeat_but_for_a_word_or_a_mark() -> None:
    def bare(prompt: str) -> str:
        return prompt.removeprefix("Next: ").rstrip(".?")

    for name, task in tasks().items():
        written = Counter(bare(prompt) for prompt in {instance.prompt for instance in task.draw(23)})
        assert sum(count - 1 for count in written.values()) == task.size // 40, name


def test_the_twins_are_the_nearest_pair_of_tasks() -> None:
    words: dict[str, set[str]] = {}
    for name, task in tasks().items():
        prompts = [set(re.findall(r"[a-z]+", instance.prompt.lower())) for instance in task.draw(23)]
        rows_with = Counter(word for prompt in prompts for word in prompt)
        words[name] = {word for word, rows in rows_with.items() if rows >= len(prompts) / 10}
    overlap = {(a, b): len(words[a] & words[b]) / len(words[a] | words[b]) for a, b in combinations(words, 2)}
    assert max(overlap, key=lambda pair: overlap[pair]) == ("add_two_numbers", "sum_of_two_numbers")
    assert overlap["add_two_numbers", "sum_of_two_numbers"] > 0.6


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(SourceError, match=r"cannot be written to .*taken.*choose a folder"):
        write_sample(tmp_path / "taken")


def test_a_file_that_cannot_be_replaced_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "add_two_numbers.jsonl").mkdir()
    with pytest.raises(SourceError, match="cannot be written"):
        write_sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["add_two_numbers.jsonl"]


def test_without_babel_nothing_is_written_and_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(SourceError, match=r"pip install 'smart-assets\[demo\]'"):
        write_sample(tmp_path / "tasks")
    assert not (tmp_path / "tasks").exists()
