"""Tests of `smart_assets/evaluation/`."""
