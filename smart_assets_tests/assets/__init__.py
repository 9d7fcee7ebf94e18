"""Tests of `smart_assets/assets/`."""
