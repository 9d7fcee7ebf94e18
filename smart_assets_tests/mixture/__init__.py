"""Tests of `smart_assets/mixture/`."""
