"""Tests of `smart_assets/upkeep/`."""
