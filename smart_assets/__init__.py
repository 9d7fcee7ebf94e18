"""SMART, submodular data mixtures for instruction tuning, as Dagster software-defined assets."""

__version__ = "0.1.0"
