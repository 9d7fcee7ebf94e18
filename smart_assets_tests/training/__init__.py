"""Tests of `smart_assets/training/`."""
