"""Making one partition: nothing when it is current, else its files, its artifact, and last its manifest."""

import platform
import resource
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from smart_assets.assets import catalog
from smart_assets.assets.step import AssetPartition, DesiredState, Draft, Inputs, RunContext, StepResult
from smart_assets.core.errors import SmartError, UpstreamMissingError
from smart_assets.core.progress import Log
from smart_assets.planning.graph import desired_state, partitions
from smart_assets.planning.plan import fingerprint, input_versions
from smart_assets.settings import Project
from smart_assets.store import Manifest, Store
from smart_assets.store.records import Circumstances

PACKAGES = (
    "smart-assets", "dagster", "torch", "transformers", "sentence-transformers", "datasets", "faiss-cpu", "faiss-gpu",
    "submodlib-py", "numpy", "pyarrow", "peft", "lm-eval",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MaterializeResult:
    """What a materialization came to. `unchanged`: nothing was done, the manifest was current already."""

    manifest: Manifest
    unchanged: bool


@dataclass(slots=True)
class _Measured:
    """What a making took."""

    seconds: float = 0.0
    peak_memory_bytes: int = 0


Complete = Callable[[Project, Manifest, Log], Manifest]
"""Adds to a manifest, just before it is recorded, what is gathered from it and those it names."""


def materialize(
    project: Project, key: AssetPartition, run: RunContext, complete: Complete | None = None
) -> MaterializeResult:
    """Bring one partition up to date.

    `complete` is what is kept beside what was made: a checkpoint's audit pages.

    Raises:
        StaleSettingsError: `smart.yaml` changed since it was loaded.
        UpstreamMissingError: something it is made from was never made.
        SmartError: whatever its step refuses; the partition then stays as it was.
    """
    project.require_unchanged()
    _require_partition(project, key)
    plan = desired_state(project, key)
    if plan.problem is not None:
        raise SmartError(plan.problem)
    inputs = _inputs(project, plan)
    versions = input_versions(plan, inputs.manifests.get)
    print_ = fingerprint(plan, versions)
    current = project.store.current(key.asset, key.partition)
    if current is not None and current.fingerprint == print_ and project.store.is_whole(current):
        run.log(f"{key} is current ({current.content_version[:12]}): nothing to do")
        return MaterializeResult(current, unchanged=True)
    manifest, made = _make(project, plan, inputs, run, versions)
    if made.refused is not None:
        _record_refused(project.store, manifest)
        raise made.refused
    if complete is not None:
        manifest = complete(project, manifest, run.log)
    project.store.record(manifest)
    made.recorded()
    if current is not None and current.content_version == manifest.content_version:
        run.log(f"{key} was made again and its content is what it was: nothing that depends on it is out of date")
    return MaterializeResult(manifest, unchanged=False)


def _make(
    project: Project, plan: DesiredState, inputs: Inputs, run: RunContext, versions: Mapping[str, str]
) -> tuple[Manifest, StepResult]:
    key, store = plan.key, project.store
    with ExitStack() as stack, _measured() as measured:
        out = Draft(stack.enter_context(store.draft()))
        out.content.mkdir()
        asset = catalog.asset(key.asset)
        made = asset.step.make(project, key.partition, inputs, out, run)
        asset.require_declared_files(out.content)
        for folder in out.attached.glob("*"):
            asset.require_declared_files(folder, folder.name)
        artifact = store.commit(key.asset, out.content)
        attachments = {
            folder.name: store.commit(f"{key.asset}.{folder.name}", folder) for folder in sorted(out.attached.glob("*"))
        }
    if made.outside is not None:
        plan = replace(plan, outside=made.outside)
    manifest = Manifest(
        asset=key.asset,
        partition=key.partition,
        content_version=artifact.version,
        fingerprint=fingerprint(plan, versions),
        inputs=dict(versions),
        outside=dict(plan.outside),
        parameters=dict(plan.parameters),
        code_version=plan.code_version,
        # An attachment lies outside the data version; who does depend on it names it as a facet.
        facets={name: attachment.version for name, attachment in attachments.items()} | dict(made.facets),
        files=artifact.files,
        attachments=attachments,
        summary=dict(made.summary),
        made=_circumstances(project, run, measured, made.refused).as_kept() | dict(made.cost),
    )
    return manifest, made


def _record_refused(store: Store, manifest: Manifest) -> None:
    """Record what was refused beside the partition's state; once, however often it is tried again."""
    last = store.last_refused(manifest.asset, manifest.partition)
    if last is None or (last.fingerprint, last.attachments) != (manifest.fingerprint, manifest.attachments):
        store.record(manifest)


def _require_partition(project: Project, key: AssetPartition) -> None:
    known = partitions(project, key.asset)
    if key not in known:
        names = ", ".join(str(item.partition) for item in known[:8])
        raise SmartError(f"smart.yaml gives {key.asset} no partition {key.partition!r}; it gives {names}")


def _inputs(project: Project, plan: DesiredState) -> Inputs:
    manifests: dict[AssetPartition, Manifest] = {}
    missing: list[str] = []
    for item in plan.inputs:
        manifest = project.store.current(item.source.asset, item.source.partition)
        if manifest is not None:
            manifests[item.source] = manifest
        elif not item.optional:
            missing.append(str(item.source))
    if missing:
        raise UpstreamMissingError(
            f"{plan.key} is made from {', '.join(missing)}, which {'was' if len(missing) == 1 else 'were'} never made: "
            f"materialize {'it' if len(missing) == 1 else 'them'} first, or let `smart run --select {plan.key.asset}` "
            "do it"
        )
    return Inputs(project.store, manifests)


def _circumstances(project: Project, run: RunContext, measured: _Measured, refused: SmartError | None) -> Circumstances:
    return Circumstances(
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=measured.seconds,
        peak_memory_bytes=measured.peak_memory_bytes,
        device=run.device,
        run_id=run.run_id,
        settings_version=project.settings_version,
        git_commit=_git_commit(project.root),
        python=platform.python_version(),
        machine=platform.machine(),
        refused=None if refused is None else str(refused),
        packages={name: installed for name in PACKAGES if (installed := _version(name)) is not None},
    )


def _git_commit(folder: Path) -> str | None:
    """Return the commit that the project's folder is at; None where it is no checkout, or there is no git."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def _measured() -> Generator[_Measured]:
    """Measure the seconds and the peak memory of this process; they are known at the end."""
    measured = _Measured()
    _reset_peak()
    started = time.perf_counter()
    yield measured
    measured.seconds = round(time.perf_counter() - started, 3)
    measured.peak_memory_bytes = _peak()


def _reset_peak() -> None:
    # Linux keeps one high-water mark a process; writing 5 starts it anew, so that a step is not billed for the last.
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peaks = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    return peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
