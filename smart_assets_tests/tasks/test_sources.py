import subprocess
import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.hub import HuggingFaceSource
from smart_assets.tasks.sources import Source, Validation

SOURCE: TypeAdapter[FolderSource | HuggingFaceSource] = TypeAdapter(Source)


def test_the_kind_decides_which_source_it_is() -> None:
    assert isinstance(SOURCE.validate_python({"kind": "folder", "path": "x"}), FolderSource)
    assert isinstance(SOURCE.validate_python({"kind": "huggingface", "path": "a/b"}), HuggingFaceSource)


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        pytest.param({"path": "x"}, "kind", id="no kind"),
        pytest.param({"kind": "s3", "path": "x"}, "kind", id="unknown kind"),
        pytest.param({"kind": "folder", "path": ""}, "path", id="empty path"),
        pytest.param({"kind": "folder", "path": "x", "max_line_bytes": 0}, "max_line_bytes", id="no bytes"),
        pytest.param({"kind": "folder", "path": "x", "columns": {"prompt": ""}}, "prompt", id="empty column"),
        pytest.param({"kind": "folder", "path": "x", "colums": {}}, "colums", id="misspelt"),
        pytest.param(
            {"kind": "huggingface", "path": "x", "trust_remote_code": True}, "trust_remote_code", id="remote code"
        ),
    ],
)
def test_a_source_that_breaks_a_rule_is_refused(entry: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        SOURCE.validate_python(entry)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("fraction", 0.51, id="more than half"),
        pytest.param("fraction", -0.1, id="negative fraction"),
        pytest.param("max_rows_per_task", -1, id="negative rows"),
        pytest.param("similarity", 0, id="everything similar"),
        pytest.param("similarity", 1.1, id="more than equal"),
    ],
)
def test_a_validation_that_breaks_a_bound_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        Validation.model_validate({field: value})


def test_every_setting_is_described() -> None:
    for section in (FolderSource, HuggingFaceSource, Validation):
        assert all(field.description for field in section.model_fields.values())


def test_the_settings_import_nothing_heavy() -> None:
    code = "import smart_assets.tasks.sources, sys; print({'numpy', 'pyarrow', 'datasets', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
