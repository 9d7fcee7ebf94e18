"""Real task collections that lie beside the project."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from smart_assets.tasks.folder import FolderSource
from smart_assets.tasks.near_duplicates import nearest_prompts
from smart_assets.tasks.reader import read_source
from smart_assets.tasks.signatures import signatures_of
from smart_assets.tasks.sources import Validation
from smart_assets.tasks.validation_split import split

SHARED = Path(__file__).parents[3] / "shared" / "data"


def quiet(_: str) -> None:
    pass


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "t0").is_dir(), reason="no ../shared/data/t0 beside the project")
def test_t0_is_read_and_split_whole() -> None:
    result = read_source(FolderSource(path=str(SHARED / "t0")), SHARED, quiet)
    signatures = signatures_of(result, None, quiet)
    sides = split(result.rows, signatures, Validation(), quiet)
    tasks = {row["task"]: (row["accepted"], row["rejected"]) for row in result.tasks.to_pylist()}
    assert len(tasks) == 29
    assert tasks["trec"] == (0, 1400)
    assert sum(map(sum, tasks.values())) == 43_939
    held_out = pc.equal(sides["split"], "validation").to_numpy()
    assert 0.02 < held_out.mean() < 0.1
    assert (nearest_prompts(signatures[~held_out], signatures[held_out], 0.8)[0] < 0).all()


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "bbh").is_dir(), reason="no ../shared/data/bbh beside the project")
def test_bbh_needs_no_configuration() -> None:
    result = read_source(FolderSource(path=str(SHARED / "bbh"), task_prefix="bbh/"), SHARED, quiet)
    assert len(result.tasks) == 27
    assert result.rows.num_rows + result.rejected.num_rows == 6_511
    assert set(result.rejected["reason"].to_pylist()) <= {"exact duplicate of an earlier row"}
