"""Tests of `smart_assets/comparison/`."""
