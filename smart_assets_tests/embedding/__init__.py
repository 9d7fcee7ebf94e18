"""Tests of `smart_assets/embedding/`."""
