"""The trainers that are known, and the folder that one of them reads."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smart_assets.core.errors import SmartError
from smart_assets.core.files import write_beside
from smart_assets.core.formatting import count
from smart_assets.core.safe_text import escaped
from smart_assets.documents.dataset_card import sources_table
from smart_assets.documents.dataset_folder import CARD, write_text
from smart_assets.documents.exported_rows import exported_rows
from smart_assets.documents.subsets import SubsetRecord
from smart_assets.documents.terms import moment, software_version
from smart_assets.documents.trainers.axolotl import Axolotl
from smart_assets.documents.trainers.llama_factory import LlamaFactory
from smart_assets.documents.trainers.open_instruct import OpenInstruct
from smart_assets.documents.trainers.trainer import CannotHoldError, Trainer
from smart_assets.documents.trainers.trl import Trl

TRAINERS: Mapping[str, Trainer] = {
    trainer.name: trainer for trainer in (Axolotl(), LlamaFactory(), OpenInstruct(), Trl())
}
"""Every trainer by what `--for` takes."""

LEFT_OUT = "left_out.txt"


@dataclass(slots=True)
class TrainerExport:
    """What was written for a trainer, and what was not."""

    trainer: Trainer
    rows: int = 0
    left_out: list[dict[str, str]] = field(default_factory=list[dict[str, str]])  # id, task and reason of each row
    lost: Counter[str] = field(default_factory=Counter[str])  # what of rows is not written -> rows

    def sentences(self) -> list[str]:
        """Return what was not written, in words."""
        reasons = Counter(row["reason"] for row in self.left_out)
        return [
            *(f"{count(rows, 'row')} left out, with {reason}" for reason, rows in reasons.most_common()),
            *(f"{self.trainer.title} has no place for {what} of {count(rows, 'row')}" for what, rows in
              self.lost.most_common()),
        ]  # fmt: skip


def find_trainer(name: str) -> Trainer:
    """Return a trainer by its name.

    Raises:
        SmartError: there is none of that name.
    """
    if name not in TRAINERS:
        raise SmartError(f"there is no export for {name!r}; there are {', '.join(TRAINERS)}")
    return TRAINERS[name]


def write_for(trainer: Trainer, subset: SubsetRecord, out: Path) -> TrainerExport:
    """Write the folder that a trainer reads: rows, configuration, a README, and the ids of rows that it cannot hold.

    Raises:
        SmartError: `out` has an ending or is a folder with something in it, the trainer can hold no row, or it cannot
            be written.
    """
    if out.suffix:
        raise SmartError(f"{out}: what is written for {trainer.title} is a folder, with rows and configuration: "
                         "name one without an ending")  # fmt: skip
    export = TrainerExport(trainer)
    write_beside(out, lambda draft: _write(export, subset, draft))
    return export


def _write(export: TrainerExport, subset: SubsetRecord, folder: Path) -> None:
    trainer = export.trainer
    rows_file = folder / trainer.rows_file
    rows_file.parent.mkdir(parents=True)
    trainer.write(_held(export, subset), rows_file)
    if not export.rows:
        raise SmartError(f"{trainer.title} can hold no row of {subset.name}: {'; '.join(export.sentences())}")
    for name, text in trainer.configuration(subset.name).items():
        write_text(folder / name, text)
    if export.left_out:
        write_text(folder / LEFT_OUT, "".join("\t".join(row.values()) + "\n" for row in export.left_out))
    write_text(folder / CARD, _readme(export, subset))


def _held(export: TrainerExport, subset: SubsetRecord) -> Iterator[Mapping[str, Any]]:
    for row in exported_rows(subset.rows):
        try:
            held = export.trainer.row(row)
        except CannotHoldError as error:
            export.left_out.append({"id": row.id, "task": row.task, "reason": str(error)})
            continue
        export.rows += 1
        export.lost.update(set(export.trainer.lost(row)))
        yield held


def _readme(export: TrainerExport, subset: SubsetRecord) -> str:
    trainer = export.trainer
    missing = "".join(f"- {sentence}\n" for sentence in export.sentences()) or "- nothing: all rows are whole\n"
    named = f"\n`{LEFT_OUT}` names the rows that are left out.\n" if export.left_out else ""
    files = ", ".join(f"`{name}`" for name in trainer.configuration(subset.name))
    return f"""# {escaped(subset.name)} for {trainer.title}

{count(export.rows, "row")} in `{trainer.rows_file}`, configured by {files}. Its paths are relative to this folder.
Run in it:

    {trainer.command}

Only responses are learnt: {trainer.learns}.

Seen to be read by {trainer.checked}.

## What is not in it

{missing}{named}
## Where it comes from

Selected by the recipe `{subset.recipe}` for a budget of {count(subset.budget, "row")}, made
{moment(subset.manifest)} by SMART Assets {escaped(software_version(subset.manifest))}; content version
`{subset.manifest.content_version}`. The rows stand under the licences of their sources.

{sources_table(subset)}
"""
