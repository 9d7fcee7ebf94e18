"""What is said of the search for evaluation text: what it took, and what it could not see."""

from smart_assets.assets.records import OverlapSummary
from smart_assets.core.safe_text import printable
from smart_assets.settings import Project


def mostly_found(summary: OverlapSummary) -> list[str]:
    """Return in sentences which tasks lose more than half of their rows, and by which rules."""
    return [
        f"task {printable(task)!r} of source {printable(source)!r}: {rows.rows:,} of {rows.training_rows:,} training "
        f"rows hold evaluation text ({', '.join(f'{kind} {count:,}' for kind, count in rows.rows_by_kind.items())})"
        for source, task, rows in summary.mostly_found()
    ]


def same_document_rows(summary: OverlapSummary) -> list[str]:
    """Return in a sentence how many training rows are of one document with an evaluation row, and are kept."""
    rows = sum((summary.same_documents or {}).values())
    return [
        f"{rows:,} training rows are near an evaluation prompt as a whole and end otherwise: the same document, not "
        "the same question; they are kept (view same_document_overlaps)"
    ] * bool(rows)


def not_looked_at(project: Project, looked: OverlapSummary, undecided: int) -> list[str]:
    """Return in sentences what a subset that holds no text that was found may hold nevertheless.

    Args:
        project: Whose benchmarks are evaluated on.
        looked: The summary of the artifact.
        undecided: Rows of the subset that n-grams could not judge.
    """
    blind = looked.untold_by_ngrams
    sentences = ["what n-grams cannot tell was not counted by this version's rules"] if blind is None else []
    for why, rows in (blind or {}).items():
        count = sum(rows.values())
        sentences += [f"{count:,} of them n-grams could not look for ({why})"] * bool(count)
    if undecided:
        sentences += [
            f"{undecided:,} rows share half an evaluation row, or a template alone, with much of a task: undecided"
        ]
    long = looked.long_prompts
    if long is None:
        sentences += ["vectors of prompts were not compared"] * (project.settings.contamination.similarity is None)
    elif long.training_rows or any(long.evaluation_rows.values()):
        count = sum(long.evaluation_rows.values())
        sentences += [
            f"vectors say nothing of {long.training_rows:,} training and {count:,} evaluation prompts that are "
            "longer than the encoder reads"
        ]
    part = looked.read_in_part
    if part is not None and (part.training_rows or any(part.evaluation_rows.values())):
        count = sum(part.evaluation_rows.values())
        sentences += [
            f"vectors are of some windows alone of {part.training_rows:,} training and {count:,} evaluation prompts "
            "that have more than embedding.windows"
        ]
    fetched = [name for name in project.settings.evaluate.tasks if name not in project.settings.evaluate.local_data]
    return sentences + [f"not looked at: {', '.join(fetched)}, which lm-eval fetches itself"] * bool(fetched)
