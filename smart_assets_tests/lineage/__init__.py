"""Tests of `smart_assets/lineage/`."""
