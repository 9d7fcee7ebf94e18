"""Which columns may be prompt and response where no layout fits: a proposal for the settings, never taken by itself."""

import re
from collections.abc import Collection

from smart_assets.core.safe_text import in_line

_PROMPTS = (
    "prompt", "instruction", "question", "query", "problem", "problem_statement", "input", "inputs", "input_text",
    "user", "human", "document", "article", "dialogue", "text",
)  # fmt: skip
_BESIDE = ("context", "passage", "choices", "options")
"""What a question means nothing without."""
_RESPONSES = (
    "response", "answer", "output", "completion", "target", "targets", "solution", "output_text", "canonical_solution",
    "summary", "highlights", "assistant", "bot", "code", "answerkey",
)  # fmt: skip
_PLAIN = re.compile(r"[^\W\d]\w*")
_LONGEST = 100  # characters of a name


def proposal(names: Collection[str]) -> str:
    """Return a sentence with the settings that may be meant, with a space before it; "" where none suggests itself."""
    settings = likely_settings(names)
    return settings and f" Perhaps {settings} is meant."


def likely_settings(names: Collection[str]) -> str:
    """Return the settings that may be meant; "" where none suggests itself."""
    by_name = {name.strip().lower(): name for name in reversed([*names]) if len(name) <= _LONGEST}
    prompt, response = (
        next((by_name[name] for name in known if name in by_name), None) for known in (_PROMPTS, _RESPONSES)
    )
    if prompt is None or response is None:
        return ""
    beside = [by_name[name] for name in _BESIDE if name in by_name]
    columns = [_written(name) for name in (prompt, *beside)]
    written = f"[{', '.join(columns)}]" if beside else columns[0]
    return f"`columns: {{prompt: {written}, response: {_written(response)}}}`"


def _written(name: str) -> str:
    """Return a name as YAML has it."""
    shown = in_line(name)
    return shown if _PLAIN.fullmatch(name) else "'" + shown.replace("'", "''") + "'"
