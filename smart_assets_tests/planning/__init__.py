"""Tests of `smart_assets/planning/`."""
