"""Tests of `smart_assets/cli/`."""
