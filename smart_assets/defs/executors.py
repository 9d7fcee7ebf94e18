"""Where steps run, and what the assets that can use a GPU ask of a cluster."""

from typing import Any

import dagster as dg

from smart_assets.settings import Project, Settings
from smart_assets.settings.project import CONFIG_VARIABLE, LOADED_VARIABLE


def build_executor(project: Project) -> dg.ExecutorDefinition:
    """Return the Dagster executor that `executor:` names. Cluster executors are imported only where they are used.

    `in_process` and `multiprocess` run on this machine and ignore GPU resource tags; the pool `gpu` still bounds how
    many such steps run at once. `k8s` and `ray` hand the tags of each step to the cluster.
    """
    match project.settings.executor:
        case "in_process":
            return dg.in_process_executor
        case "multiprocess":
            return dg.multiprocess_executor
        case "k8s":
            from dagster_k8s import k8s_job_executor

            return k8s_job_executor.configured({"env_vars": _environment(project)}, name="k8s")
        case "ray":
            from dagster_ray import ray_executor

            # The cluster's address is in RAY_ADDRESS.
            environment = [*_environment(project), f"DAGSTER_HOME={project.root}"]
            return ray_executor.configured({"ray": {"env_vars": environment}}, name="ray")


def _environment(project: Project) -> list[str]:
    """Return the environment of a worker on a cluster, as NAME=VALUE.

    It names the project, which the worker must see at the same path, and the settings that were loaded.
    """
    return [f"{CONFIG_VARIABLE}={project.config}", f"{LOADED_VARIABLE}={project.settings_version}"]


def gpu_tags(settings: Settings) -> dict[str, Any]:
    """Return the op tags of an asset that can use a GPU; with `device: cpu` no GPU is asked for."""
    count = 0 if settings.device == "cpu" else settings.gpu.count
    kubernetes: dict[str, Any] = {}
    if count:
        kubernetes = {"container_config": {"resources": {"limits": {settings.gpu.kubernetes_resource: str(count)}}}}
    return {"dagster-k8s/config": kubernetes, "dagster-ray/config": {"num_gpus": count}}
