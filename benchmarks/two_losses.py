"""The same recipes under both losses, side by side: `python -m benchmarks.two_losses HELP_ROWS HELP_TOKENS`.

Reads two projects that `benchmarks.does_it_help` made, one with `--loss rows` and one with `--loss tokens`, and prints
the tables of docs/does-it-help.md: the response loss of each recipe, less `random` and `proportional` under the same
loss, and less itself under the other one. Rows and seeds are paired.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from smart_assets.assets import mixture_report
from smart_assets.assets.reading.row_results import read_results
from smart_assets.assets.step import AssetPartition, Inputs
from smart_assets.comparison.differences import Difference, Models, measured_models, score, to_references
from smart_assets.comparison.intervals import holm_level
from smart_assets.comparison.row_results import RowResults, SharedRows, share_rows
from smart_assets.core.metrics import OWN_METRICS, RowMetric
from smart_assets.planning.graph import desired_state
from smart_assets.settings import load_project

LOSSES = ("rows", "tokens")
REFERENCES = ("random", "proportional")


def main() -> None:
    """Print a table for each benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", type=Path, nargs=2, help="Trained by the mean over rows, and over tokens.")
    parser.add_argument("--metric", choices=[*OWN_METRICS], default="response_loss")
    arguments = parser.parse_args()
    metric = OWN_METRICS[arguments.metric]
    results, unseen = read_projects(arguments.projects)
    p: dict[str, list[float]] = {"recipes": [], "losses": []}
    for shared in share_rows(results, unseen):
        measured = shared.measured_by(metric)
        if measured.tasks:
            print("\n".join(table(measured, metric, p)), end="\n\n")
    for family, values in p.items():
        holding = sum(value <= holm_level(values) for value in values)
        print(f"{holding} of {len(values)} differences between {family} hold corrected for their number (Holm)")


def read_projects(folders: Sequence[Path]) -> tuple[list[RowResults], frozenset[str]]:
    """Return all models' rows, recipes named with their loss, and the tasks that no mixture was selected from."""
    results: list[RowResults] = []
    unseen = frozenset[str]()
    for folder, loss in zip(folders, LOSSES, strict=True):
        project = load_project(folder / "smart.yaml")
        if project.settings.finetune.loss != loss:
            raise SystemExit(f"{folder} was trained with `loss: {project.settings.finetune.loss}`, not `{loss}`")
        unseen |= frozenset(project.settings.evaluate.unseen_tasks)
        sources = [item.source for item in desired_state(project, AssetPartition(mixture_report.NAME)).inputs]
        found = {source: project.store.current(source.asset, source.partition) for source in sources}
        inputs = Inputs(project.store, {source: manifest for source, manifest in found.items() if manifest is not None})
        for result in read_results(project, inputs):
            if result.recipe is not None:
                results.append(replace(result, recipe=f"{loss} {result.recipe}"))
            elif loss == LOSSES[0]:  # the base model is the same in both
                results.append(result)
    return results, unseen


def table(shared: SharedRows, metric: RowMetric, p: dict[str, list[float]]) -> Iterator[str]:
    """Yield the lines of a benchmark's table; the p of its differences are added to `p`."""
    models = measured_models(shared, metric)
    differences = _differences(models, metric)
    title = f"{shared.benchmark}{', unseen tasks' if shared.unseen else ''}: {shared.rows} rows"
    columns = [
        title,
        "budget",
        "`rows`",
        *(f"less `{name}`" for name in REFERENCES),
        "`tokens`",
        "`rows` less `tokens`",
    ]
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    trained = [(budget, recipe.split(" ", 1)[1]) for budget, recipe in models if recipe and recipe.startswith("rows ")]
    for budget, recipe in sorted(
        trained, key=lambda key: score((key[0], f"rows {key[1]}"), models, metric).interval.value
    ):
        to_others = [differences.get((budget, f"rows {recipe}", f"rows {other}")) for other in REFERENCES]
        to_other_loss = differences.get((budget, f"rows {recipe}", f"tokens {recipe}"))
        under_tokens = [differences.get((budget, f"tokens {recipe}", f"tokens {other}")) for other in REFERENCES]
        # `proportional` less `random` stands in the row of `proportional`; the other way round it is the same claim.
        once = [*to_others, *under_tokens] if recipe not in REFERENCES else [to_others[0], under_tokens[0]]
        p["recipes"] += [each.p for each in once if each is not None]
        p["losses"] += [to_other_loss.p] if to_other_loss is not None else []
        figures = [f"{score((budget, f'{loss} {recipe}'), models, metric).interval.value:.3f}" for loss in LOSSES]
        cells = [f"`{recipe}`", str(budget), figures[0], *map(shown, to_others), figures[1], shown(to_other_loss)]
        yield f"| {' | '.join(cells)} |"
    if (None, None) in models:
        yield f"\nThe base model has {score((None, None), models, metric).interval.value:.3f}."


def _differences(models: Models, metric: RowMetric) -> dict[tuple[int | None, str, str], Difference]:
    """Return what each recipe of a budget differs by from each other one, both ways."""
    recipes = dict.fromkeys(recipe for _, recipe in models if recipe is not None)
    found = (each for other in recipes for each in to_references(models, metric, [other]))
    return {(each.budget, each.recipe, each.other): each for each in found}


def shown(difference: Difference | None) -> str:
    """Return a difference with its interval, bold where that excludes zero."""
    if difference is None:
        return ""
    interval = difference.interval
    text = f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"
    return f"**{text}**" if interval.excludes_zero else text


if __name__ == "__main__":
    main()
