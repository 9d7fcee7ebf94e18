"""Where steps run, and what the assets that can use a GPU ask of a cluster."""

from typing import Any

import dagster as dg

from smart_assets.settings import Project, Settings
from smart_assets.settings.project import CONFIG_VARIABLE


def build_executor(project: Project) -> dg.ExecutorDefinition:
    """The Dagster executor that `executor:` names. Cluster executors are imported only where they are used.

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

            return k8s_job_executor
        case "ray":
            from dagster_ray import ray_executor

            # A Ray worker starts with an environment of its own: it is told which project it works on, and must see
            # that folder. The cluster's address is in RAY_ADDRESS.
            known = [f"{CONFIG_VARIABLE}={project.config}", f"DAGSTER_HOME={project.root}"]
            return ray_executor.configured({"ray": {"env_vars": known}}, name="ray")


def gpu_tags(settings: Settings) -> dict[str, Any]:
    """The op tags of an asset that can use a GPU; with `device: cpu` no GPU is asked for."""
    count = 0 if settings.device == "cpu" else settings.gpu.count
    kubernetes: dict[str, Any] = {}
    if count:
        kubernetes = {"container_config": {"resources": {"limits": {settings.gpu.kubernetes_resource: str(count)}}}}
    return {"dagster-k8s/config": kubernetes, "dagster-ray/config": {"num_gpus": count}}
