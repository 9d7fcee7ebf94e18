"""The page is complete, self-contained, safe with hostile text, and its numbers are the content's."""

import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from smart_assets.mixture.task_scores import propose_max_tasks
from smart_assets.report.content import NearDuplicateSummary, ReportContent
from smart_assets.report.page import render_page
from smart_assets.report.source_chapters import training_losses
from smart_assets.training.settings import LossMean
from smart_assets_tests.support.report_example import HOSTILE, TASKS, example_content, size_of

_VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Tags, attributes, table rows and text of a page; refuses tags that do not close in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data.strip()
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    return render_page(example_content())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_page_needs_nothing_else(html: str, page: Page) -> None:
    addresses = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert addresses
    assert all(value is not None and value.startswith(("data:image/png;base64,", "#")) for value in addresses)
    assert not re.search(r"@import|url\(|https?://", html)
    policy = next(tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_pictures_are_png_with_words(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 11
    for image in images:
        assert size_of(b64decode((image["src"] or "").split(",")[1]))[0] == 1600
        assert len(image["alt"] or "") > 30


def test_page_has_landmarks_headers_and_links_that_lead_somewhere(page: Page) -> None:
    assert [len(page.all(tag)) for tag in ("main", "header", "nav", "h1")] == [1, 1, 1, 1]
    anchors = {tag["id"] for tag in page.all("section")}
    assert {(tag["href"] or "").removeprefix("#") for tag in page.all("a")} == anchors
    assert len(page.all("h2")) == len(anchors) == 12
    assert all(tag.get("scope") in ("row", "col") for tag in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_numbers_equal_the_content(page: Page) -> None:
    content = example_content()
    task = content.tasks[3]
    counts = [f"{task.train_rows:,}", f"{task.validation_rows:,}", f"{task.rejected_rows:,}"]
    weights = [f"{task.mixture_weights[recipe]:.2%}" for recipe in content.recipes]
    assert [task.task, task.source, *counts, *weights] in page.rows
    budgets = [str(mixture.rows[task.task]) for mixture in content.mixtures]
    assert [task.task, counts[0], *budgets] in page.rows
    gains = content.objectives[0]
    assert ["4", task.task, f"{gains.gains[3]:.4f}", f"{gains.weights[3]:.2%}"] in page.rows
    losses = [f"{r.value:.4f}" for r in content.measurements if (r.task, r.metric) == (task.task, "response_loss")]
    shown = next(row for row in page.rows if row[0] == task.task and len(row) == 6 and row[1] == losses[0])
    assert shown == [task.task, *losses]
    assert ["sample", "empty response", "21"] in page.rows
    assert ["raw_tasks", "sample", "b0c7d1e2f3", "2026-01-02T03:04:05Z"] in page.rows
    assert "123 pairs of prompts have a cosine of 0.95 or more." in page.text
    told = next(text for text in page.text if "Under graph_cut" in text)
    assert (
        f"worth {gains.effective_tasks:.1f} equal tasks of 20; the largest task takes {max(gains.weights):.1%}" in told
    )
    assert told.endswith(f"The value bends after {propose_max_tasks(gains.gains)} tasks.")


def test_tasks_that_gained_least_come_first() -> None:
    content = example_content()
    worse = [replace(r, value=9.0) if r.task == TASKS[7] and r.budget else r for r in content.measurements]
    page = Page(render_page(ReportContent("worse", measurements=tuple(worse))))
    row = next(row for row in page.rows if row[0] == TASKS[7] and row[2:] == ["9.0000"] * 4)
    heads = [at for at, columns in enumerate(page.rows) if columns[:2] == ["Task", "Base model"]]
    assert page.rows.index(row) == heads[0] + 1


def test_a_page_of_one_training_each_has_no_verdict() -> None:
    """Neither in words, nor by a mark or a colour that stands for one."""
    html = render_page(example_content())
    assert not re.search(r"(is|are) (better|worse) than|not distinguishable from|you can stop|still help|[★▽]", html)
    assert "this one training scored lower" in html
    assert "none: one training" in html


EMPTY_SENTENCES = {
    "Tasks": "No task has been read yet.",
    "Task budgets": "No mixture has been selected yet.",
    "Gains and weights": "No recipe in use weighs its tasks by an objective, or none has been computed yet.",
    "How alike the tasks are": "The tasks' prompts have not been embedded yet.",
    "Metrics against the budget": "No checkpoint has been evaluated yet.",
    "Differences": "No model has been evaluated row by row yet.",
    "How many rows are enough": "No recipe has been evaluated row by row at several budgets yet.",
    "Score against M' and other parameters": "No two recipes of a sweep have been evaluated yet.",
    "Results of each task": "No benchmark of several tasks has been evaluated yet.",
    "Rejected rows": "No row was rejected.",
    "Near duplicates": "No similarity index has been built yet.",
    "Provenance": "Nothing was recorded about what this page was made from.",
}


@pytest.mark.parametrize("title", EMPTY_SENTENCES)
def test_missing_part_says_so(title: str) -> None:
    page = Page(render_page(ReportContent("new project")))
    assert page.text[page.text.index(title, page.text.index("Provenance") + 1) :][2] == EMPTY_SENTENCES[title]
    assert page.rows == []
    assert page.all("img") == []


@pytest.mark.parametrize(
    ("part", "pictures"),
    [
        ("tasks", 1), ("plane", 0), ("kernel", 1), ("objectives", 2), ("mixtures", 2), ("measurements", 2),
        ("recipe_comparisons", 1),
        ("rejections", 0), ("near_duplicates", 1), ("provenance", 0),
    ],
)  # fmt: skip
def test_page_of_one_part_alone(part: str, pictures: int) -> None:
    content = replace(ReportContent("young project"), **{part: getattr(example_content(TASKS[:3]), part)})
    html = render_page(content)
    assert len(Page(html).all("img")) == pictures
    assert pictures > 1 or render_page(content) == html


def test_the_page_says_which_loss_was_learnt_and_warns_where_it_differs() -> None:
    content = example_content(TASKS[:3])

    def told(losses: dict[LossMean, int]) -> str:
        assert content.provenance is not None
        return " ".join(training_losses(replace(content.provenance, training_losses=losses)))

    rows = "the mean over rows of each row's mean over its response tokens (finetune.loss: rows), 4 models"
    warning = "Not all models learnt the same loss"
    assert told({}) == ""
    assert rows in told({"rows": 4})
    assert warning not in told({"rows": 4})
    assert rows in told({"rows": 4, "tokens": 2})
    assert "(finetune.loss: tokens), 2 models" in told({"rows": 4, "tokens": 2})
    assert warning in told({"rows": 4, "tokens": 2})
    provenance = replace(content.provenance, training_losses={"rows": 4})
    assert rows in " ".join(Page(render_page(ReportContent("alone", provenance=provenance))).text)


def test_no_near_duplicates() -> None:
    none = NearDuplicateSummary(0.95, 0, (), np.full(3, 0.5, np.float32))
    assert (
        "No two prompts have a cosine of 0.95 or more."
        in Page(render_page(ReportContent("a", near_duplicates=none))).text
    )


def test_hostile_text_stays_text() -> None:
    content = example_content(HOSTILE)
    assert content.near_duplicates is not None
    [pair] = content.near_duplicates.examples
    bad = replace(pair, first_prompt="<img src=x onerror=alert(1)>", second_prompt="\x1b[2J</td></table><script>")
    rejected = replace(content.rejections.examples[0], file="<b>.jsonl", excerpt="</main>\x00\x1b[31m")
    html = render_page(
        replace(
            content,
            title="</title><script>alert(2)</script>",
            near_duplicates=replace(content.near_duplicates, examples=(bad,)),
            rejections=replace(content.rejections, examples=(rejected,), tasks_left_out=HOSTILE),
        )
    )
    page = Page(html)
    assert len(page.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<script>alert" not in html
    assert "n" * 100 not in html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", html)
    assert any(row[0] == "<script>alert(1)</script>" for row in page.rows)
    assert "{{ 7 * 7 }}" in html


def test_long_tables_say_what_they_leave_out() -> None:
    tasks = tuple(f"task_{at:04d}" for at in range(250))
    page = Page(render_page(replace(ReportContent("large"), measurements=example_content(tasks).measurements)))
    assert "Held-out rows: response loss (nats per token, lower is better). Showing 200 of 250." in page.text
    assert len(page.rows) == 2 * 201 + 11


def test_long_prompts_have_columns_where_there_are_any() -> None:
    content = example_content()
    columns = ["Longer than the encoder's window", "Read in part"]
    assert not any(name in Page(render_page(content)).rows[0] for name in columns)
    tasks = tuple(replace(task, long_rows=at, rows_read_in_part=at // 2) for at, task in enumerate(content.tasks))
    rows = Page(render_page(replace(content, tasks=tasks))).rows
    [heading] = [row for row in rows if set(columns) <= set(row)]
    place = heading.index(columns[0])
    shown = {row[0]: row[place : place + 2] for row in rows[rows.index(heading) + 1 :][: len(tasks)]}
    assert shown == {task.task: [f"{task.long_rows:,}", f"{task.rows_read_in_part:,}"] for task in tasks}
