"""Promotion: the log against a plain stack, the rule against cases that it must tell apart, and people's last word."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_assets.cli.models import show_models
from smart_assets.defs.promotion import build_promotion_sensor
from smart_assets.errors import SettingsError, SmartError, StoreError, UpstreamMissingError
from smart_assets.evaluation.metrics import Metric, row_metrics
from smart_assets.evaluation.record import METRICS_SCHEMA, ROWS_SCHEMA, read_results
from smart_assets.evaluation.rows import RowResult
from smart_assets.lineage.promotion import (
    Promoted,
    history,
    link,
    pinned,
    production,
    promote,
    record,
    rollback,
)
from smart_assets.lineage.promotion_rule import consider
from smart_assets.settings import Project
from smart_assets.statistics.resampling import mean_interval
from smart_assets.store import Artifact, Manifest, Store
from smart_assets.store.log import append, records
from smart_assets_tests.projects import write_project

TASKS = ("one", "two", "[red]three[/red]", "../four", "five", "six")
ROWS = {f"{task} {number}": task for task in TASKS for number in range(4)}
RULE = {"budget": 10, "recipe": "smart"}
PARAMETERS = {
    "prompt_format": "auto",
    "precision": "auto",
    "max_length": None,
    "include": {},
    "evaluate": {"limit": None, "num_fewshot": None},
}


def commit(store: Store, asset: str, files: Mapping[str, bytes | pa.Table]) -> Artifact:
    with store.draft() as folder:
        for name, content in files.items():
            path = folder / "content" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                pq.write_table(content, path)
        return store.commit(asset, folder / "content")


def put(project: Project, artifact: Artifact, partition: str | None, **more: Any) -> Manifest:
    manifest = Manifest(
        asset=artifact.asset,
        partition=partition,
        content_version=artifact.version,
        fingerprint="f",
        files=artifact.files,
        **{"inputs": {}, "parameters": PARAMETERS, "code_version": "1", **more},
    )
    project.store.record(manifest)
    return manifest


def train(project: Project, content: str, partition: str = "10|smart", later: int = 0) -> Manifest:
    """A checkpoint of two seeds, trained `later` seconds from now."""
    files = {f"seed-{seed}/model/weights": f"{content} {seed}".encode() for seed in (3, 1)}
    at = (datetime.now(UTC) + timedelta(seconds=later)).isoformat(timespec="seconds")
    artifact = commit(project.store, "finetuned_checkpoint", files)
    return put(project, artifact, partition, summary={"seeds": {"3": {}, "1": {}}}, made={"at": at})


def measurement(
    losses: Mapping[str, float],
    tokens: int = 4,
    more: Sequence[Metric] = (),
    collection: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The files of one evaluated model: row id -> nats a token (held out, and of a collection); benchmarks' metrics."""
    results = [
        RowResult(id_, ROWS[id_], loss * tokens, tokens, 8, loss < 1, benchmark)
        for benchmark, rows in (("held_out", losses), ("c", collection or {}))
        for id_, loss in rows.items()
    ]
    metrics = [asdict(metric) for metric in (*row_metrics(results), *more)]
    benchmarks = {metric.benchmark: {task: {} for task in TASKS} for metric in more}
    return {
        "rows.parquet": pa.Table.from_pylist([asdict(result) for result in results], ROWS_SCHEMA),
        "metrics.parquet": pa.Table.from_pylist(metrics, METRICS_SCHEMA),
        "result.json": json.dumps({"benchmarks": benchmarks}).encode(),
    }


def evaluate(
    project: Project, checkpoint: Manifest | None, seeds: Sequence[Mapping[str, Any]], **more: Any
) -> Manifest:
    """Evaluations of a checkpoint's seeds, or of the base model."""
    if checkpoint is None:
        base = {f"base/{name}": content for name, content in seeds[0].items()}
        return put(project, commit(project.store, "base_model_results", base), None, **more)
    files = {f"seed-{at}/{name}": content for at, seed in enumerate(seeds) for name, content in seed.items()}
    key = f"finetuned_checkpoint[{checkpoint.partition}]"
    artifact = commit(project.store, "eval_results", files)
    return put(project, artifact, checkpoint.partition, **{"inputs": {key: checkpoint.content_version}, **more})


def losses(shift: float = 0.0, spread: float = 0.0, rows: Sequence[str] = tuple(ROWS)) -> dict[str, float]:
    """A loss for every row: `shift` for all, and a `spread` that goes up for every other task."""
    return {id_: 2 + shift + spread * (-1) ** TASKS.index(ROWS[id_]) for id_ in rows}


def model_of(manifest: Manifest, seed: int = 3) -> Promoted:
    budget, recipe = str(manifest.partition).split("|")
    return Promoted(budget=int(budget), recipe=recipe, seed=seed, content_version=manifest.content_version)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write_project(tmp_path, changes={"promotion": RULE, "evaluate": {"tasks": ["mmlu"]}})


# The log


PARTITIONS = ("10|smart", "10|random", "20|smart")


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from([*PARTITIONS, "back"]), max_size=12))
def test_production_is_the_top_of_a_stack(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    project = write_project(tmp_path_factory.mktemp("stack"))
    models = {name: model_of(train(project, name, name)) for name in PARTITIONS}
    stack: list[Promoted] = []
    expected = 0
    for step in steps:
        if step == "back" and len(stack) < 2:
            with pytest.raises(SmartError, match="nothing to roll back to"):
                rollback(project)
        elif step == "back":
            stack.pop()
            assert rollback(project, "worse answers").production == stack[-1]
            expected += 1
        else:
            again = bool(stack) and stack[-1] == models[step]
            budget, recipe = step.split("|")
            assert promote(project, int(budget), recipe).changed is not again
            if not again:
                stack.append(models[step])
                expected += 1
        assert production(project) == (stack[-1] if stack else None)
        newest = stack[-project.settings.retention.newest :]
        assert pinned(project) == {model.content_version for model in newest}
        assert len(history(project)) == expected
        if stack:
            seed = (project.store.root / "production").resolve()
            assert (seed.name, seed.parent.name) == ("seed-3", stack[-1].content_version)


def test_promoting_takes_the_newest_checkpoint_and_the_seed_asked_for(project: Project) -> None:
    train(project, "old")
    checkpoint = train(project, "new")
    assert promote(project, 10, "smart", seed=1).production == model_of(checkpoint, seed=1)
    assert (project.store.root / "production" / "model" / "weights").read_text() == "new 1"
    change = promote(project, 10, "smart", reason="the first seed")
    assert change.production == model_of(checkpoint, seed=3)
    assert "no eval_results" in change.sentence
    evaluate(project, checkpoint, [measurement(losses())] * 2)
    promote(project, 10, "smart", seed=1)
    assert "no eval_results" not in promote(project, 10, "smart", seed=3).sentence
    assert [entry.reason for entry in history(project)][:2] == ["", "the first seed"]


def damage(project: Project, manifest: Manifest) -> None:
    (project.store.artifact(manifest) / "seed-1/model/weights").unlink()


def test_what_cannot_be_promoted_is_refused_and_leaves_no_record(project: Project) -> None:
    with pytest.raises(UpstreamMissingError, match=r"finetuned_checkpoint\[10\|smart\] was never made: `smart models`"):
        promote(project, 10, "smart")
    checkpoint = train(project, "one")
    with pytest.raises(SmartError, match="has no seed 7; its seeds are 3, 1"):
        promote(project, 10, "smart", seed=7)
    damage(project, checkpoint)
    with pytest.raises(StoreError, match=r"not whole in the store: restore .* or `smart run --select"):
        promote(project, 10, "smart")
    assert history(project) == []


def test_a_rollback_needs_the_files_of_what_it_goes_back_to(project: Project) -> None:
    old = train(project, "old")
    promote(project, 10, "smart")
    with pytest.raises(SmartError, match=r"production is 10\|smart, seed 3 \(\w{12}\), and nothing was before it"):
        rollback(project)
    train(project, "new")
    now = promote(project, 10, "smart").production
    damage(project, old)
    with pytest.raises(StoreError, match=r"not whole in the store: restore .* or promote another model"):
        rollback(project)
    assert production(project) == now


def test_two_rollbacks_at_once_take_back_one_model(project: Project) -> None:
    models = [model_of(train(project, name, name)) for name in PARTITIONS]
    for model in models:
        record(project, "promote", model, "")
    for _ in range(2):
        record(project, "rollback", models[-1], "")
    assert production(project) == models[1]


def test_pins_hold_the_evaluation_that_candidates_are_compared_with(project: Project) -> None:
    checkpoint = train(project, "one")
    evaluation = evaluate(project, checkpoint, [measurement(losses())])
    promote(project, 10, "smart")
    train(project, "two")
    assert pinned(project) == {checkpoint.content_version, evaluation.content_version}


def test_the_link_is_made_from_the_log(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = train(project, "one")
    promote(project, 10, "smart")
    place = project.store.root / "production"
    assert not place.readlink().is_absolute(), "the store may be moved"
    place.unlink()
    place.symlink_to("nowhere")
    show_models(project.config)
    assert place.resolve() == project.store.artifact(checkpoint) / "seed-3"
    train(project, "two")
    show_models(project.config)
    shown = capsys.readouterr().out
    row = rf"(?m)^ +10 +smart +{checkpoint.content_version[:12]} .* seed 3 *$"
    assert len(re.findall(row, shown)) == 2, "production stays in the table beside a newer checkpoint"
    record(project, "promote", model_of(checkpoint).model_copy(update={"content_version": "0" * 32}), "")
    assert link(project) is None
    assert not place.is_symlink(), "no link rather than one to another model"
    place.mkdir()
    promote(project, 10, "smart")
    assert place.is_dir(), "a folder of that name is nobody's to remove"


def test_another_machine_sees_the_production_of_a_remote_store(tmp_path: Path) -> None:
    here = write_project(tmp_path / "here", changes={"store": "memory://promotions/p"})
    there = write_project(tmp_path / "there", changes={"store": "memory://promotions/p"})
    checkpoint = train(here, "one")
    promote(here, 10, "smart")
    assert production(there) == model_of(checkpoint)
    assert link(there) is None, "its files are not here yet"
    show_models(there.config)
    assert (there.store.root / "production" / "model" / "weights").read_text() == "one 3"
    train(there, "two")
    promote(there, 10, "smart")
    rollback(here)
    assert production(there) == production(here) == model_of(checkpoint)


def test_records_keep_their_order_when_the_clock_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import smart_assets.store.log as module

    class Clock(datetime):
        years = iter((2030, 2010, 2020))

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(next(cls.years), 1, 1, tzinfo=UTC)

    monkeypatch.setattr(module, "datetime", Clock)
    store = Store("store", tmp_path)
    for number in range(3):
        append(store, "decisions", {"number": number})
    assert [entry["number"] for entry in records(store, "decisions")] == [0, 1, 2]


def test_a_kill_while_a_record_is_written_leaves_the_log_as_it_was(project: Project) -> None:
    train(project, "one")
    promote(project, 10, "smart")
    before = history(project)
    train(project, "two")
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from smart_assets.lineage.promotion import promote
        from smart_assets.settings import load_project
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        promote(load_project(Path({str(project.config)!r})), 10, "smart")
    """)
    done = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert history(project) == before


@pytest.mark.parametrize("text", ["{", "[]", '{"action": "promote"}', ""])
def test_a_record_that_cannot_be_read_is_named(project: Project, text: str) -> None:
    (project.store.root / "promotions").mkdir()
    (project.store.root / "promotions" / "20300101T000000.000000Z-a.json").write_text(text)
    with pytest.raises(StoreError, match=r"promotions.*: restore it, or move it away to undo it"):
        production(project)


# The rule


def rivals(project: Project, candidate: Any, **more: Any) -> Manifest:
    """Production by the rule, of loss 2 everywhere, and a newer candidate with its evaluation; gives the candidate."""
    old = train(project, "old")
    evaluate(project, old, [measurement(losses())])
    assert consider(project).promoted
    new = train(project, "new")
    evaluate(project, new, candidate, **more)
    return new


def accuracy(values: Sequence[float]) -> list[Metric]:
    """Accuracies of single tasks, and a group's own: were it counted, it would outweigh them."""
    single = [Metric(task, "mmlu", "acc", value, None, 9) for task, value in zip(TASKS, values, strict=True)]
    return [*single, Metric("mmlu", "mmlu", "acc", 1000.0, None, 9)]


HALF = tuple(id_ for id_ in ROWS if id_.endswith(("0", "1")))
OTHER_PRECISION = PARAMETERS | {"precision": "float32"}
OTHER_VERSION = {"finetuned_checkpoint[10|smart]": "0"}
FIRST_TASK = tuple(id_ for id_, task in ROWS.items() if task == "one")


@pytest.mark.parametrize(
    ("candidate", "more", "promoted", "sentence"),
    [
        ([measurement(losses(-0.5))], {}, True, r"not worse than production.*-0\.5 nats per token, 95% .* 24 rows"),
        ([measurement(losses(0.5))], {}, False, r"worse than production.*\+0\.5 to \+0\.5"),
        ([measurement(losses())], {}, True, r"by \+0 .* \+0 to \+0"),
        ([measurement(losses(0.05, 0.3))], {}, True, r"\+0\.05 .* interval -\S+ to \+"),
        ([measurement(losses(0.9)), measurement(losses(-1.1))], {}, True, r"by -0\.1 "),
        ([measurement(losses(-0.5, rows=HALF))], {}, True, r"6 tasks and 12 rows .*; 12 that only one"),
        ([measurement(losses(-0.5, rows=FIRST_TASK))], {}, False, r"1 tasks have response_loss.*needs 2"),
        ([measurement(losses(-0.5), tokens=5)], {}, False, r"response_loss_per_byte"),
        ([measurement(losses(-0.5))], {"parameters": OTHER_PRECISION}, False, r"evaluated under another precision"),
        ([measurement(losses(-0.5))], {"code_version": "2"}, False, r"another code version"),
        ([measurement(losses(-0.5))], {"inputs": OTHER_VERSION}, False, r"no eval_results yet"),
    ],
    ids=[
        "better", "worse", "equal", "within the noise", "seeds are averaged", "other rows", "one task", "other tokens",
        "other precision", "other code", "evaluation of another version",
    ],
)  # fmt: skip
def test_the_rule_promotes_what_is_not_worse(
    project: Project, candidate: Any, more: Any, promoted: bool, sentence: str
) -> None:
    new = rivals(project, candidate, **more)
    before = history(project)
    decision = consider(project)
    assert decision.promoted is promoted
    assert re.search(sentence, decision.sentence), decision.sentence
    assert not any(task in decision.sentence for task in TASKS[2:4]), "names of tasks stay inside"
    after = consider(project)
    if promoted:
        assert production(project) == model_of(new)
        assert after.sentence.endswith("is production already")
        entry = history(project)[-1]
        assert (entry.who, entry.figures["tasks"]) == ("rule", 6)
    else:
        assert after == decision
        assert history(project) == before


@pytest.mark.parametrize(("rule", "promoted"), [({}, False), ({"margin": 0.6}, True)], ids=str)
def test_the_margin_is_how_much_worse_counts_as_equal(tmp_path: Path, rule: Any, promoted: bool) -> None:
    project = write_project(tmp_path, changes={"promotion": RULE | rule})
    rivals(project, [measurement(losses(0.5))])
    assert consider(project).promoted is promoted


@pytest.mark.parametrize(
    ("values", "promoted", "sentence"),
    [
        ([0.6, 0.7, 0.6, 0.7, 0.6, 0.7], True, r"acc on mmlu \(turned so that lower is better\) differs by -0\.15"),
        ([0.4, 0.3, 0.4, 0.3, 0.4, 0.3], False, r"worse than production.*\+0\.15.*the 6 tasks that"),
        ([0.9, 0.9, 0.9, 0.9, 0.9, float("nan")], False, r"acc of mmlu is no number on some task"),
    ],
)
def test_a_benchmark_counts_its_tasks_and_not_their_means(
    tmp_path: Path, values: list[float], promoted: bool, sentence: str
) -> None:
    rule = RULE | {"benchmark": "mmlu", "metric": "acc"}
    project = write_project(tmp_path, changes={"promotion": rule, "evaluate": {"tasks": ["mmlu"]}})
    old = train(project, "old")
    evaluate(project, old, [measurement(losses(), more=accuracy([0.5] * 6))])
    consider(project)
    evaluate(project, train(project, "new"), [measurement(losses(), more=accuracy(values))])
    decision = consider(project)
    assert decision.promoted is promoted
    assert re.search(sentence, decision.sentence), decision.sentence


@pytest.mark.parametrize(("held_out", "collection", "promoted"), [(0.5, -0.5, True), (-0.5, 0.5, False)])
def test_a_collection_counts_by_its_own_rows(
    tmp_path: Path, held_out: float, collection: float, promoted: bool
) -> None:
    collections = {"c": {"path": "c"}}
    changes = {"promotion": RULE | {"benchmark": "c"}, "evaluate": {"collections": collections}}
    project = write_project(tmp_path, changes=changes)
    evaluate(project, train(project, "old"), [measurement(losses(), collection=losses())])
    consider(project)
    candidate = measurement(losses(held_out), collection=losses(collection))
    evaluate(project, train(project, "new"), [candidate])
    decision = consider(project)
    assert decision.promoted is promoted
    assert f"response loss on c differs by {collection:+.4g}" in decision.sentence
    assert "6 tasks and 24 rows" in decision.sentence


def test_rows_recorded_before_there_were_benchmarks_are_held_out(tmp_path: Path) -> None:
    table = measurement(losses())["rows.parquet"]
    pq.write_table(table, tmp_path / "rows.parquet")
    expected = read_results(tmp_path, "held_out")
    new = ["benchmark", "rouge_l", "prediction", "choice_correct"]
    pq.write_table(table.drop_columns(new), tmp_path / "rows.parquet")
    assert len(expected) == len(ROWS)
    assert read_results(tmp_path, "held_out") == expected
    assert read_results(tmp_path, "c") == []


@pytest.mark.parametrize(("shift", "promoted"), [(None, True), (-0.5, False), (0.0, True), (0.5, True)])
def test_the_first_model_is_measured_against_the_base_model(
    project: Project, shift: float | None, promoted: bool
) -> None:
    if shift is not None:
        evaluate(project, None, [measurement(losses(shift))])
    evaluate(project, train(project, "one"), [measurement(losses())])
    decision = consider(project)
    assert decision.promoted is promoted
    assert ("the base model" if shift is not None else "no base_model_results") in decision.sentence


def test_a_person_has_the_last_word(project: Project) -> None:
    rivals(project, [measurement(losses(-0.5))])
    train(project, "favourite", "20|smart")
    promote(project, 20, "smart")
    chosen = production(project)
    decision = consider(project)
    assert not decision.promoted
    assert "decided on production after it was trained" in decision.sentence
    evaluate(project, train(project, "newer", later=60), [measurement(losses(-0.5))])
    assert "no eval_results of production" in consider(project).sentence
    assert production(project) == chosen


def test_what_was_rolled_back_does_not_come_back_by_the_rule(project: Project) -> None:
    bad = rivals(project, [measurement(losses(-0.5))])
    assert consider(project).promoted
    rollback(project, "it insults people")
    again = train(project, "new", later=60)  # the same content, made again after the decision
    assert again.content_version == bad.content_version
    decision = consider(project)
    assert not decision.promoted
    assert "was rolled back; `smart promote` brings it back" in decision.sentence
    assert promote(project, 10, "smart").production == model_of(bad)


def test_evaluations_that_are_gone_are_not_compared_with(project: Project) -> None:
    old = train(project, "old")
    evaluation = evaluate(project, old, [measurement(losses())])
    consider(project)
    evaluate(project, train(project, "new"), [measurement(losses(-0.5))])
    (project.store.artifact(evaluation) / "seed-0" / "rows.parquet").unlink()
    decision = consider(project)
    assert not decision.promoted
    assert "no eval_results of production" in decision.sentence


def test_the_sensor_decides_once_and_says_why(project: Project) -> None:
    rivals(project, [measurement(losses(-0.5))])
    sensor = build_promotion_sensor(project)
    assert sensor is not None
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    dg.Definitions.validate_loadable(dg.Definitions(sensors=[sensor]))
    said = [str(sensor().skip_message) for _ in range(2)]  # type: ignore[union-attr]
    assert "is promoted: not worse than production" in said[0]
    assert said[1].endswith("is production already")
    with project.config.open("a") as stream:
        stream.write("# a change\n")
    with pytest.raises(Exception, match="reload the code location"):
        sensor()


def test_without_a_rule_nothing_is_promoted(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    evaluate(project, train(project, "one"), [measurement(losses())])
    assert build_promotion_sensor(project) is None
    assert not consider(project).promoted
    assert history(project) == []


@settings(max_examples=40, deadline=None)
@given(
    differences=st.lists(st.integers(-50, 50), min_size=2, max_size=4).map(lambda values: np.array(values) / 10),
    confidence=st.sampled_from([0.5, 0.8, 0.95]),
)
def test_the_interval_is_that_of_all_resamples(differences: np.ndarray, confidence: float) -> None:
    every = np.sort([np.mean(drawn) for drawn in itertools.product(differences, repeat=len(differences))])
    low, high = mean_interval(differences, confidence)
    tail, slack = (1 - confidence) / 2, 0.02
    for found, at in ((low, tail), (high, 1 - tail)):
        between = np.quantile(every, [max(at - slack, 0), min(at + slack, 1)], method="inverted_cdf")
        assert between[0] - 1e-9 <= found <= np.quantile(every, min(at + slack, 1), method="higher") + 1e-9
    assert mean_interval(differences, confidence) == (low, high)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"budget": 11}, r"`promotion` names 11\|smart"),
        ({"recipe": "none"}, r"`promotion` names 10\|none"),
        ({"metric": "acc"}, "`metric` of the held-out rows is one of response_loss"),
        ({"benchmark": "mmlu", "metric": "acc"}, "`evaluate` measures held_out"),
        ({"confidence": 1.0}, r"promotion\.confidence.*less than 1"),
        ({"margin": float("inf")}, r"promotion\.margin.*finite"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(tmp_path: Path, rule: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        write_project(tmp_path, changes={"promotion": RULE | rule})
