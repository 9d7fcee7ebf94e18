"""The audit as one HTML page that needs no network, and stays usable with 100,000 rows.

Rows lie in the page compressed; its script shows those in sight, searches and sorts them. All text goes through the
template's escaping or into text nodes, and the page's own policy lets a browser load and run nothing but what is in it.
"""

import gzip
import json
import shlex
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from smart_assets.core.safe_text import plain
from smart_assets.lineage.model_audit.gather import ModelAudit

_PACKAGE = "smart_assets.lineage.model_audit"


def render_audit(audit: ModelAudit) -> str:
    """Return the whole page; equal audits give equal pages."""
    script = files(_PACKAGE).joinpath("audit.js").read_text(encoding="utf-8")
    return _template().render(
        audit=audit,
        command=audit_command(audit.budget, audit.recipe, audit.seed),
        settings={
            "Recipe": _lines(audit.selection.get("recipe", {})),
            "Other settings of the subset": _lines({k: v for k, v in audit.selection.items() if k != "recipe"}),
            "Fine-tuning": _lines(audit.hyperparameters),
            "Training": _lines(audit.training),
            "Base model": _lines(audit.base_model),
        },
        packages=sorted(audit.chain[0].packages.items()),  # that trained the model
        rows=_packed(audit),
        row_count=audit.rows.num_rows,
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


def audit_command(budget: int, recipe: str, seed: int) -> str:
    """Return the command that takes the audit of a checkpoint's seed again, for a shell."""
    return f"smart audit model {budget} {shlex.quote(recipe)} --seed {seed}"


def _lines(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (path, value), in their order."""
    if isinstance(values, dict):
        return [
            line for name, value in values.items() for line in _lines(value, f"{prefix}.{name}" if prefix else name)
        ]
    return [(prefix, plain(values) if isinstance(values, str) else json.dumps(values, ensure_ascii=False))]


def _packed(audit: ModelAudit) -> str:
    """Return the rows as gzip in base64: columns of JSON, control characters dropped from the texts."""
    columns = [audit.rows[name].to_pylist() for name in audit.rows.column_names]
    shown = [[plain(value) if isinstance(value, str) else value for value in column] for column in columns]
    packed = json.dumps(
        {"columns": audit.rows.column_names, "values": shown}, ensure_ascii=False, separators=(",", ":")
    )
    return b64encode(gzip.compress(packed.encode(), mtime=0)).decode("ascii")


@cache
def _template() -> Template:
    source = files(_PACKAGE).joinpath("audit.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["plain"] = _text
    return environment.from_string(source)


def _text(value: object) -> str:
    return "" if value is None else plain(str(value))
