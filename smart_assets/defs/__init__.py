"""Dagster over the plain-Python pipeline: assets, checks, resources, executors, sensors. Nothing is computed here."""
