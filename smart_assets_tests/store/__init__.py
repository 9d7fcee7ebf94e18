"""Tests of `smart_assets/store/`."""
