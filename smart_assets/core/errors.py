"""The project's own error tree: every message names the place, the rule, the value, and what to do next."""

from smart_assets.core.safe_text import printable


class SmartError(Exception):
    """Base of all errors that are meant for the user; the command line prints them without a traceback.

    What they quote of files and rows is printable: they reach terminals by many ways, Dagster's logs among them.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class SettingsError(SmartError):
    """`smart.yaml` is missing, not YAML, or breaks a rule; the message lists each field's path."""


class StaleSettingsError(SettingsError):
    """`smart.yaml` changed after the code location was loaded."""


class StoreError(SmartError):
    """The store cannot be read or written, or an artifact is not what its manifest says."""


class ConditionError(SmartError):
    """A condition in SQL cannot be answered: it is no condition, or asks for what is not there."""


class CatalogError(SmartError):
    """The catalog of assets contradicts itself, or a step does what its entry does not declare: an error of code."""


class SourceError(SmartError):
    """A source as a whole cannot be read: its folder, its dataset, or none of its rows."""


class EmbeddingError(SmartError):
    """An encoder cannot be loaded, or gave vectors that cannot be used."""


class SelectionError(SmartError):
    """An objective, its parameter or its ground set breaks a rule."""


class BudgetError(SelectionError):
    """A budget cannot be met exactly."""


class TrainingError(SmartError):
    """A base model cannot be loaded or a fine-tune cannot finish."""


class RefusedRowError(TrainingError):
    """A row cannot be written in the prompt format; the message is the reason, for whoever leaves it out and counts."""


class EvaluationError(SmartError):
    """An evaluation cannot be set up or gave no result."""


class UpstreamMissingError(SmartError):
    """A partition was asked for before what it is made from."""


class ProgramError(SmartError):
    """A program that was started for training or evaluation ended with an error."""
