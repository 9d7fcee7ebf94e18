"""Tests of `smart_assets/core/`."""
