"""Tests of `smart_assets/forgetting/`."""
