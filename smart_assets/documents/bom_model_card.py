"""The `modelCard` of an ML-BOM: how the model was trained, on what, and what was measured on it."""

from collections.abc import Iterator, Mapping
from typing import Any

from smart_assets.documents.checkpoints import CheckpointRecord
from smart_assets.documents.terms import flat

_TRAINED = {"seed", "precision", "processes", "rows", "steps", "response_tokens", "final_loss", "mean_last_losses"}
_TAIL = 0.025  # beyond each bound


def bom_model_card(checkpoint: CheckpointRecord, dataset: str) -> dict[str, Any]:
    """Return a `modelCard`; `dataset` is the reference of the component that stands for the rows."""
    parameters: dict[str, Any] = {
        "approach": {"type": "supervised"},
        "task": "text-generation",
        "datasets": [{"ref": dataset}],
        "inputs": [{"format": "text"}],
        "outputs": [{"format": "text"}],
    }
    if checkpoint.architecture is not None:
        parameters["modelArchitecture"] = checkpoint.architecture
    settings = dict(flat(checkpoint.result.hyperparameters, "smart:training."))
    trained = {f"smart:training.{name}": value for name, value in flat(checkpoint.result.model_dump(include=_TRAINED))}
    card: dict[str, Any] = {"modelParameters": parameters, "properties": properties(settings | trained)}
    if checkpoint.metrics:
        card["quantitativeAnalysis"] = {
            "performanceMetrics": [*_means(checkpoint), *(performance_metric(metric) for metric in checkpoint.metrics)]
        }
    return card


def _means(checkpoint: CheckpointRecord) -> Iterator[dict[str, Any]]:
    for benchmark, parts in sorted(checkpoint.means.items()):
        for part, means in sorted(parts.items()):
            for metric, value in sorted(means.items()):
                yield {"type": metric, "value": repr(value), "slice": f"{benchmark}: mean over {part} tasks"}


def performance_metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of `metrics.parquet`, with its 95% interval over the task's rows where these tell one."""
    value, stderr = metric["value"], metric["stderr"]
    shown = {"type": metric["metric"], "value": repr(value), "slice": f"{metric['benchmark']}: {metric['task']}"}
    if not stderr or metric["rows"] < 2:  # rows that all came out alike do not tell how far other rows would lie
        return shown
    from scipy.special import stdtrit

    half = -float(stdtrit(metric["rows"] - 1, _TAIL)) * stderr
    return {**shown, "confidenceInterval": {"lowerBound": repr(value - half), "upperBound": repr(value + half)}}


def properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Return names and values as CycloneDX has them."""
    return [{"name": name, "value": value} for name, value in values.items()]
