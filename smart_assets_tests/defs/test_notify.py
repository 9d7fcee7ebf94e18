"""Who is told of what: a real local web server, a real instance, and runs that fail and finish."""

import json
import shutil
import threading
from collections.abc import Generator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from smart_assets.core.errors import SettingsError
from smart_assets.defs import notify
from smart_assets.defs.build import build_definitions
from smart_assets.defs.notify import build_notifiers
from smart_assets.settings import Project
from smart_assets_tests.support.projects import write_project

SECRET = "T0K3N"
HOSTILE = "row text <!channel> größer"


class Hook:
    """A web server that answers with statuses in turn, the last one again and again, and keeps what it is sent."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.bodies: list[dict[str, Any]] = []
        self.methods: list[str] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.methods.append(self.command)
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status = hook.statuses.pop(0) if len(hook.statuses) > 1 else hook.statuses[0]
                if status == 200:
                    hook.bodies.append(json.loads(content))
                self.send_response(status, f"no {SECRET}")
                self.send_header("Location", f"/elsewhere/{SECRET}")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/{SECRET}?key={SECRET}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hook() -> Generator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def instance() -> Generator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def with_notify(root: Path, section: dict[str, Any]) -> Project:
    return write_project(root, changes={"notify": section})


class Ticks:
    """The ticks of one sensor, from the moment it is switched on."""

    def __init__(self, sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> None:
        self.sensor, self.instance = sensor, instance
        self.cursor: str | None = None
        self.tick()

    def tick(self) -> Any:
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            found = self.sensor.evaluate_tick(context)
        self.cursor = found.cursor
        return found

    def error(self) -> str:
        [reaction] = self.tick().dagster_run_reactions
        return str(reaction.error)


def sensor_of(project: Project, name: str) -> dg.SensorDefinition:
    [sensor] = [one for one in build_notifiers(project) if one.name == name]
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    return sensor


def run_assets(
    instance: dg.DagsterInstance,
    job: str = "update_results",
    unchanged: bool = False,
    error: Exception | None = None,
    asset: str = "finetuned_checkpoint",
) -> dg.ExecuteInProcessResult:
    """A run of one asset that materializes it, or fails."""

    @dg.asset(name=asset)
    def definition() -> dg.MaterializeResult[Any]:
        if error is not None:
            raise error
        return dg.MaterializeResult(metadata={"unchanged": unchanged})

    definitions = dg.Definitions([definition], jobs=[dg.define_asset_job(job, dg.AssetSelection.assets(asset))])
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance, raise_on_error=False, tags={"smart/reason": "1 file changed: a.jsonl"}
    )


def test_a_failed_run_of_the_project_is_told_once(tmp_path: Path, hook: Hook, instance: dg.DagsterInstance) -> None:
    project = with_notify(tmp_path, {"webhook": hook.url})
    ticks = Ticks(sensor_of(project, "notify_failed"), instance)
    shutil.rmtree(tmp_path / "tasks")
    job = build_definitions(project).resolve_job_def("update_sources")
    run = job.execute_in_process(
        instance=instance, partition_key="small", raise_on_error=False, tags={"smart/reason": "new files"}
    )
    assert not run.success
    for _ in range(2):
        ticks.tick()
    [body] = hook.bodies
    assert body.pop("error").startswith(f"raw_tasks: folder {tmp_path / 'tasks'} does not exist")
    assert body == {
        "event": "failed",
        "project": tmp_path.name,
        "job": "update_sources",
        "partition": "small",
        "assets": ["instance_orderings", "prompt_embeddings", "raw_tasks", "similarity_index"],
        "reason": "new files",
        "run_id": run.run_id,
        "link": f"/runs/{run.run_id}",
    }


def test_the_message_of_a_foreign_exception_stays_inside(
    tmp_path: Path, hook: Hook, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(sensor_of(with_notify(tmp_path, {"webhook": hook.url}), "notify_failed"), instance)
    run_assets(instance, error=KeyError(HOSTILE))
    ticks.tick()
    [body] = hook.bodies
    assert body["error"] == "finetuned_checkpoint: KeyError; the run's log says more"
    assert "row text" not in json.dumps(body)


def test_a_retraining_is_told_when_it_made_a_checkpoint(
    tmp_path: Path, hook: Hook, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(sensor_of(with_notify(tmp_path, {"webhook": hook.url}), "notify_finished"), instance)
    run_assets(instance, unchanged=True)
    run_assets(instance, job="update_subsets")
    run_assets(instance, asset="mixture_report")
    run_assets(instance, error=ValueError())
    made = run_assets(instance)
    evaluated = run_assets(instance, asset="eval_results")  # of a checkpoint whose first evaluation failed
    ticks.tick()
    told = [(body["event"], body["error"], body["run_id"], body["assets"], body["reason"]) for body in hook.bodies]
    assert told == [
        ("finished", None, made.run_id, ["finetuned_checkpoint"], "1 file changed: a.jsonl"),
        ("finished", None, evaluated.run_id, ["eval_results"], "1 file changed: a.jsonl"),
    ]


def test_events_choose_what_is_told(tmp_path: Path) -> None:
    def names(section: dict[str, Any]) -> list[str]:
        return [sensor.name for sensor in build_notifiers(with_notify(tmp_path, section))]

    webhook = {"webhook": "env:HOOK"}
    assert names({}) == []
    assert names(webhook) == ["notify_failed", "notify_finished"]
    assert names(webhook | {"events": ["finished"]}) == ["notify_finished"]


@pytest.mark.parametrize(
    "case", [([503, 500, 200], 1, 3), ([500], 0, 3), ([404], 0, 3), ([302], 0, 3), ([307], 0, 3)], ids=str
)
def test_a_webhook_that_fails_is_tried_again_and_never_breaks_the_tick(
    tmp_path: Path,
    hook: Hook,
    instance: dg.DagsterInstance,
    capfd: pytest.CaptureFixture[str],
    case: tuple[Sequence[int], int, int],
) -> None:
    statuses, told, tries = case
    hook.statuses = list(statuses)
    ticks = Ticks(sensor_of(with_notify(tmp_path, {"webhook": hook.url}), "notify_failed"), instance)
    run_assets(instance, error=ValueError())
    capfd.readouterr()
    found = ticks.tick()
    assert (len(hook.bodies), hook.methods) == (told, ["POST"] * tries)
    assert not [one for one in found.dagster_run_reactions if one.error]
    logged = capfd.readouterr().err
    assert f"the webhook at 127.0.0.1: HTTP status {statuses[0]}, try 1 of 3" in logged
    assert SECRET not in logged
    hook.statuses = [200]
    ticks.tick()
    assert len(hook.bodies) == told, "what could not be told is not told for ever"


def test_a_slow_webhook_ends_the_tick_and_loses_no_run(
    tmp_path: Path, hook: Hook, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_SLOW_SECONDS", -1)
    ticks = Ticks(sensor_of(with_notify(tmp_path, {"webhook": hook.url}), "notify_failed"), instance)
    runs = [run_assets(instance, error=ValueError()).run_id for _ in range(3)]
    for number in range(1, 4):
        ticks.tick()
        assert [body["run_id"] for body in hook.bodies] == runs[:number]


def test_a_webhook_can_stay_out_of_the_file(
    tmp_path: Path, hook: Hook, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = Ticks(sensor_of(with_notify(tmp_path, {"webhook": "env:MY_HOOK"}), "notify_failed"), instance)
    run_assets(instance, error=ValueError())
    assert not [one for one in ticks.tick().dagster_run_reactions if one.error], "unset: logged"
    monkeypatch.setenv("MY_HOOK", hook.url)
    run_assets(instance, error=ValueError())
    ticks.tick()
    assert len(hook.bodies) == 1


EMAIL = {"from": "smart@example.com", "password": "env:MAIL_PASSWORD", "to": ["a@example.com"], "host": "mail.example"}


class Mailbox:
    sent: list[tuple[str, list[str], str]]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.sent = []

    def __call__(self, *_: Any, **__: Any) -> "Mailbox":
        return self

    def __enter__(self) -> "Mailbox":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def login(self, user: str, password: str) -> None:
        assert (user, password) == ("smart@example.com", "hidden")

    def sendmail(self, sender: str, to: list[str], message: str) -> None:
        message.encode("ascii")  # as smtplib does
        self.sent.append((sender, to, message))


def test_an_email_says_what_failed_in_plain_letters(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "hidden")
    mailbox = Mailbox()
    monkeypatch.setattr("smtplib.SMTP_SSL", mailbox)
    ticks = Ticks(sensor_of(with_notify(tmp_path, {"email": EMAIL}), "notify_email"), instance)
    run = run_assets(instance, error=dg.Failure(f"the source <b>größer</b> is gone\n{HOSTILE}"))
    assert not [one for one in ticks.tick().dagster_run_reactions if one.error]
    [(sender, to, message)] = mailbox.sent
    assert (sender, to) == ("smart@example.com", ["a@example.com"])
    assert "finetuned_checkpoint: the source &lt;b&gt;gr&#246;&#223;er&lt;/b&gt; is gone<br>" in message
    assert f"/runs/{run.run_id}" in message
    assert "row text" not in message


def test_slack_is_told_and_calls_nobody(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dagster_slack")
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr("slack_sdk.web.client.WebClient.chat_postMessage", lambda _, **message: sent.append(message))
    monkeypatch.setenv("SLACK_TOKEN", "hidden")
    project = with_notify(tmp_path, {"slack": {"channel": "#training", "token": "env:SLACK_TOKEN"}})
    ticks = Ticks(sensor_of(project, "notify_slack"), instance)
    run_assets(instance, error=dg.Failure("the task <!channel> is gone"))
    ticks.tick()
    [message] = sent
    assert message["channel"] == "#training"
    assert "the task &lt;!channel&gt; is gone" in json.dumps(message)


@pytest.mark.parametrize(
    ("section", "name", "message"),
    [
        ({"email": EMAIL}, "notify_email", "notify.email.password names the environment variable MAIL_PASSWORD"),
        (
            {"slack": {"channel": "#c", "token": "env:NO_TOKEN"}},
            "notify_slack",
            "notify.slack",  # the token or the package
        ),
    ],
)
def test_a_missing_secret_fails_the_tick_and_not_the_definitions(
    tmp_path: Path, instance: dg.DagsterInstance, section: dict[str, Any], name: str, message: str
) -> None:
    project = with_notify(tmp_path, section)
    build_definitions(project).get_repository_def().load_all_definitions()
    ticks = Ticks(sensor_of(project, name), instance)
    run_assets(instance, error=ValueError())
    assert message in ticks.error()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"webhook": "hooks.slack.com/x"}, r"notify\.webhook"),
        ({"webhook": "file:///etc/passwd"}, r"notify\.webhook"),
        ({"slack": {"channel": "#c", "token": "xoxb-1"}}, r"notify\.slack\.token"),
        ({"email": EMAIL | {"password": "plain"}}, r"notify\.email\.password"),
        ({"email": EMAIL | {"to": []}}, r"notify\.email\.to"),
        ({"email": EMAIL | {"to": ["a@b\nBcc: c@d"]}}, r"notify\.email\.to"),
        ({"email": EMAIL, "events": ["finished"]}, "tell of failed runs alone"),
        ({"webhook": "env:X", "events": []}, r"notify\.events"),
        ({"webhook": "env:X", "events": ["started"]}, r"notify\.events"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, section: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        with_notify(tmp_path, section)


def test_settings_do_not_show_the_webhook(tmp_path: Path, hook: Hook) -> None:
    assert SECRET not in repr(with_notify(tmp_path, {"webhook": hook.url}).settings)
