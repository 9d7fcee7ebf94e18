"""Tests of `smart_assets/sample/`."""
