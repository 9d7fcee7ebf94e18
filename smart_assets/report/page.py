"""The mixture report as one HTML page that needs nothing else: pictures, style and script are inside it.

The template escapes all text by itself, and the page's own policy lets a browser load and run nothing but what is in
it: even if a hostile task name got through as markup, it could neither fetch nor execute.
"""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from smart_assets.comparison.shared_tasks import compare_shared_tasks
from smart_assets.core.safe_text import shorten
from smart_assets.report.budget_chapters import sufficient_budget_chapter, sweep_chapter
from smart_assets.report.content import ReportContent
from smart_assets.report.difference_chapter import difference_chapter, with_left_out
from smart_assets.report.gain_chapter import gain_chapter
from smart_assets.report.layout import Chapter
from smart_assets.report.metric_chapters import metric_chapter, result_chapter
from smart_assets.report.source_chapters import near_duplicate_chapter, provenance_chapter, rejection_chapter
from smart_assets.report.summary import summary
from smart_assets.report.task_chapters import budget_chapter, kernel_chapter, task_chapter

_SORTING = """
for (const head of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  button.onclick = () => {
    const falling = head.getAttribute("aria-sort") !== "descending";
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.cells[head.cellIndex].dataset.sort ?? row.cells[head.cellIndex].textContent;
    const order = (a, b) => (isNaN(key(a)) ? key(a).localeCompare(key(b)) : Math.sign(key(a) - key(b)) || 0);
    const rows = [...body.rows].sort((a, b) => (falling ? order(b, a) : order(a, b)));
    head.parentNode.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...rows);
  };
}
"""


def render_page(content: ReportContent) -> str:
    """Return the whole page; equal content gives an equal page.

    Parts that are missing are said to be missing. Tables stop at `layout.TABLE_ROWS` rows and say so.
    """
    comparisons = compare_shared_tasks(content.measurements, content.unseen_tasks, content.evaluated)
    parts: list[Chapter] = [
        task_chapter(content),
        budget_chapter(content),
        gain_chapter(content),
        kernel_chapter(content),
        metric_chapter(comparisons, content.recipe_comparisons, content.recipes),
        with_left_out(difference_chapter(content.recipe_comparisons, content.recipes), content.not_shared),
        sufficient_budget_chapter(content.recipe_comparisons),
        sweep_chapter(content.recipe_comparisons, content.sweeps),
        result_chapter(comparisons, content.recipes),
        rejection_chapter(content),
        near_duplicate_chapter(content),
        provenance_chapter(content),
    ]
    paragraph, findings = summary(content)
    return _template().render(
        title=shorten(content.title, 120),
        summary=paragraph,
        findings=findings,
        chapters=parts,
        script=_SORTING,
        script_hash=b64encode(sha256(_SORTING.encode()).digest()).decode("ascii"),
    )


@cache
def _template() -> Template:
    source = files("smart_assets.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        source
    )
