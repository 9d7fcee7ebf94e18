"""Sensors that tell people of failed runs and finished retrainings.

What leaves the project names runs, partitions and assets, and says what went wrong in the words of our own errors; the
message of any other exception may quote a row, so only its kind is sent.
"""

import html
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

from smart_assets.assets import eval_results, finetuned_checkpoint
from smart_assets.core.errors import SettingsError
from smart_assets.defs.dagster_private import PARTITION_NAME_TAG
from smart_assets.settings import Project
from smart_assets.settings.automation import Email, Slack, secret

TIMEOUT_SECONDS = 10
PAUSES_SECONDS = (1.0, 3.0)  # before the second and the third try
_SLOW_SECONDS = 5  # a tick that tells of five runs at most ends in a minute, or Dagster ends it and tells all again
RETRAINING = "update_results"
_LONGEST_ERROR = 500
_RUNNING = dg.DefaultSensorStatus.RUNNING


def build_notifiers(project: Project) -> list[dg.SensorDefinition]:
    """Return the sensors that `notify` of `smart.yaml` asks for, switched on.

    A secret or a package that is missing fails their ticks, not the loading of the definitions.
    """
    notify = project.settings.notify
    sensors: list[dg.SensorDefinition] = []
    if notify.webhook is not None and "failed" in notify.events:
        sensors.append(_webhook_of_failures(project, notify.webhook))
    if notify.webhook is not None and "finished" in notify.events:
        sensors.append(_webhook_of_retrainings(project, notify.webhook))
    if notify.slack is not None:
        sensors.append(_slack(project, notify.slack))
    if notify.email is not None:
        sensors.append(_email(project, notify.email))
    return sensors


def _webhook_of_failures(project: Project, webhook: str) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="notify_failed", description="Tells the webhook of every failed run.", default_status=_RUNNING
    )
    def notify_failed(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        return _deliver(context, webhook, _message(project, context, "failed") | {"error": error_sentence(context)})

    return notify_failed


def _webhook_of_retrainings(project: Project, webhook: str) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="notify_finished",
        description="Tells the webhook of every retraining that made a checkpoint.",
        default_status=_RUNNING,
    )
    def notify_finished(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
        if not _finished_a_retraining(context):
            return None
        return _deliver(context, webhook, _message(project, context, "finished") | {"error": None})

    return notify_finished


def _slack(project: Project, slack: Slack) -> dg.SensorDefinition:
    try:
        from dagster_slack import make_slack_on_run_failure_sensor  # pyright: ignore[reportMissingImports]

        token = secret(slack.token, "notify.slack.token")
    except ImportError:
        return _unable("notify_slack", "notify.slack needs a package: pip install 'smart-assets[slack]'")
    except SettingsError as error:
        return _unable("notify_slack", str(error))
    return make_slack_on_run_failure_sensor(
        channel=slack.channel,
        slack_token=token,
        # Slack would take `<!channel>` in an error for a call to everybody.
        text_fn=lambda context: html.escape("\n".join(_lines(project, context)), quote=False),
        name="notify_slack",
        default_status=_RUNNING,
    )


def _email(project: Project, email: Email) -> dg.SensorDefinition:
    try:
        password = secret(email.password, "notify.email.password")
    except SettingsError as error:
        return _unable("notify_email", str(error))

    def body(context: dg.RunFailureSensorContext) -> str:
        text = "<br>".join(html.escape(line) for line in _lines(project, context))
        return text.encode("ascii", "xmlcharrefreplace").decode()  # smtplib sends nothing else

    return dg.make_email_on_run_failure_sensor(
        email_from=email.sender,
        email_password=password,
        email_to=list(email.to),
        email_body_fn=body,
        email_subject_fn=lambda context: f"SMART Assets: {context.dagster_run.job_name} failed",
        smtp_host=email.host,
        smtp_port=email.port,
        smtp_type="SSL" if email.port == 465 else "STARTTLS",
        name="notify_email",
        default_status=_RUNNING,
    )


def _unable(name: str, message: str) -> dg.SensorDefinition:
    """Return a sensor whose tick fails with a message as soon as there is something to tell."""

    @dg.run_failure_sensor(name=name, description=message, default_status=_RUNNING)
    def unable(_: dg.RunFailureSensorContext) -> None:
        raise SettingsError(message)

    return unable


def _message(project: Project, context: dg.RunStatusSensorContext, event: str) -> dict[str, Any]:
    """Return what the webhook is sent, but for the error."""
    run = context.dagster_run
    planned = context.instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    ).records
    assets = sorted({record.asset_key.to_user_string() for record in planned if record.asset_key is not None})
    return {
        "event": event,
        "project": project.root.name,
        "job": run.job_name,
        "partition": run.tags.get(PARTITION_NAME_TAG),
        "assets": assets,
        "reason": run.tags.get("smart/reason"),
        "run_id": run.run_id,
        "link": f"/runs/{run.run_id}",
    }


def _lines(project: Project, context: dg.RunFailureSensorContext) -> list[str]:
    """Return the same for people."""
    message = _message(project, context, "failed")
    where = f" [{message['partition']}]" if message["partition"] else ""
    return [
        f"{message['project']}: {message['job']}{where} failed",
        error_sentence(context),
        *([f"assets: {', '.join(message['assets'])}"] if message["assets"] else []),
        *([f"asked for because: {message['reason']}"] if message["reason"] else []),
        message["link"],
    ]


def error_sentence(context: dg.RunFailureSensorContext) -> str:
    """Why a run failed: the first step that did, in the words of our own error, else the kind of the exception."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data
        own = failure.user_failure_data.description if failure.user_failure_data else None
        error = failure.error and (failure.error.cause or failure.error)  # Dagster wraps what a step raises
        kind = error.cls_name if error else None
        said = own.strip().splitlines()[0] if own and own.strip() else f"{kind or 'an error'}; the run's log says more"
        return f"{event.step_key}: {said}"[:_LONGEST_ERROR]
    said = (context.failure_event.message or "").strip().splitlines()
    return said[0][:_LONGEST_ERROR] if said else "the run ended without a reason"


def _finished_a_retraining(context: dg.RunStatusSensorContext) -> bool:
    """Whether a run of the retraining job made a checkpoint, or evaluated one whose evaluation had failed."""
    run = context.dagster_run
    if run.job_name != RETRAINING:
        return False
    records = context.instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    made = [record.asset_materialization for record in records]
    return any(
        materialization.asset_key in (dg.AssetKey(finetuned_checkpoint.NAME), dg.AssetKey(eval_results.NAME))
        and not materialization.metadata["unchanged"].value
        for materialization in made
        if materialization is not None
    )


def _deliver(context: dg.RunStatusSensorContext, webhook: str, body: Mapping[str, Any]) -> dg.SkipReason | None:
    """Send to the webhook; what goes wrong is logged. A slow delivery ends the tick."""
    from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_chain, wait_fixed

    try:
        url = secret(webhook, "notify.webhook")
    except SettingsError as error:
        context.log.error(str(error))
        return None

    def warn(state: RetryCallState) -> None:
        problem = state.outcome.result() if state.outcome else None
        context.log.warning(f"{problem}, try {state.attempt_number} of {tries}")

    tries = 1 + len(PAUSES_SECONDS)
    started = time.monotonic()
    problem = Retrying(
        retry=retry_if_result(lambda problem: problem is not None),
        wait=wait_chain(*map(wait_fixed, PAUSES_SECONDS)),
        stop=stop_after_attempt(tries),
        after=warn,
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )(post, url, body)
    if problem is not None:
        context.log.error(f"the webhook was not told of run {body['run_id']}, which {body['event']}")
        return dg.SkipReason(f"the webhook was not told of run {body['run_id']}")
    slow = time.monotonic() - started > _SLOW_SECONDS
    return dg.SkipReason("the webhook was slow: other runs wait for the next tick") if slow else None


def post(url: str, body: Mapping[str, Any]) -> str | None:
    """Send a JSON body; return None where it was taken, else what went wrong.

    The message names the host alone: path and query may be a secret, and the errors of httpx quote them. A redirect is
    not followed: the POST would arrive elsewhere, as a GET without its body, and count as delivered. The answer's body
    is not read, which may have no end.
    """
    import httpx

    host = "the webhook"
    try:
        address = httpx.URL(url)
        if address.scheme not in ("http", "https") or not address.host:
            return f"{host}: the address is no http(s) URL"
        host = f"the webhook at {address.host}"
        with httpx.stream(
            "POST",
            address,
            content=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "smart-assets"},
            timeout=TIMEOUT_SECONDS,
            verify=ssl.create_default_context(),  # the machine's own certificates, not a package's
        ) as response:
            return None if response.is_success else f"{host}: HTTP status {response.status_code}"
    except httpx.TimeoutException:
        return f"{host}: no answer in {TIMEOUT_SECONDS} seconds"
    except httpx.HTTPError as error:
        return f"{host}: {_reason(error)}"
    except ImportError as error:  # the environment names a proxy that needs a package
        return f"{host}: {error}"
    except (httpx.InvalidURL, ValueError):  # a part of the address that cannot be read
        return f"{host}: the address is no http(s) URL"


def _reason(error: Exception) -> str:
    """Return what the system said, such as "Connection refused"; the kind of error where it said nothing."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return (cause and cause.strerror) or type(cause or error).__name__
