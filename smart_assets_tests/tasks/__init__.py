"""Tests of `smart_assets/tasks/`."""
