"""The card of one seed's weights (README.md) for the Hugging Face hub."""

from typing import Any

from smart_assets.core.formatting import count
from smart_assets.core.safe_text import escaped, markdown_table, plain
from smart_assets.documents.checkpoints import CheckpointRecord
from smart_assets.documents.dataset_card import sources_table
from smart_assets.documents.subsets import SubsetRecord
from smart_assets.documents.terms import BaseModelRecord, base_model, flat, moment, software_version


def model_card(checkpoint: CheckpointRecord, subset: SubsetRecord) -> str:
    """Return markdown after the YAML that the hub reads, with a result for each mean over tasks.

    Holds no prompt, no response.

    The licence of the weights is left to whoever publishes them: neither the base model's nor that of the rows decides
    it alone.
    """
    from huggingface_hub import EvalResult, ModelCardData

    base = base_model(checkpoint)
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=plain(benchmark),
            dataset_name=plain(benchmark),
            dataset_config=f"mean over {part} tasks",
            metric_type=plain(metric),
            metric_value=value,
        )
        for benchmark, part, metric, value in _means(checkpoint)
    ]
    metadata = ModelCardData(
        base_model=base.hub_name,
        datasets=sorted(
            {source.dataset.card_id for source in subset.sources if source.dataset and source.dataset.card_id}
        )
        or None,
        library_name="transformers" if _is_whole(checkpoint) else "peft",
        pipeline_tag="text-generation",
        tags=["instruction-tuning"],
        model_name=checkpoint.name,
        eval_results=results or None,
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{_body(checkpoint, subset, base)}"


def results_table(checkpoint: CheckpointRecord) -> str:
    """Return the means over tasks; says so where nothing was measured."""
    rows = list(_means(checkpoint))
    if not rows:
        return "No evaluation of this version of the weights is in the store."
    return markdown_table(
        ["benchmark", "mean over", "metric", "value"], ([bench, f"{part} tasks", *rest] for bench, part, *rest in rows)
    )


def _means(checkpoint: CheckpointRecord) -> list[tuple[str, str, str, float]]:
    return [
        (benchmark, part, metric, value)
        for benchmark, parts in sorted(checkpoint.means.items())
        for part, means in sorted(parts.items())
        for metric, value in sorted(means.items())
    ]


def _loss(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.4f}"


def _is_whole(checkpoint: CheckpointRecord) -> bool:
    return any("/model/" in file.path for file in checkpoint.weights)


def _body(checkpoint: CheckpointRecord, subset: SubsetRecord, base: BaseModelRecord) -> str:
    manifest, result = checkpoint.manifest, checkpoint.result
    settings: list[tuple[str, Any]] = list(flat(result.hyperparameters))
    return f"""# {escaped(checkpoint.name)}

{escaped(base.label)} fine-tuned on {count(len(subset.tasks), "task")} in {count(subset.rows.num_rows, "row")},
selected by the recipe `{subset.recipe}`. Made {moment(manifest)} by SMART Assets {escaped(software_version(manifest))};
content version `{manifest.content_version}`, seed {checkpoint.seed}.

`bom.cdx.json` names every file of the weights with its hash, the packages, and the rows by their Croissant file.

## Base model

{markdown_table(["name", "revision", "sha256 over its weights"], [[base.label, base.revision, base.weights_sha256]])}

## Rows

{sources_table(subset)}

{count(result.rows, "row")} were trained on;
{count(len(result.dropped), "row")} were left out (too long, or refused by the chat template),
{count(len(result.truncated), "row")} were cut at the length limit.

## Training

{markdown_table(["setting", "value"], settings)}

{count(result.steps, "step")}; the loss was {_loss(result.final_loss)} at the last step.

## Results

{results_table(checkpoint)}

## What is not known

The licence of these weights, what the base model was trained on, and how the model does on what was not measured.
"""
