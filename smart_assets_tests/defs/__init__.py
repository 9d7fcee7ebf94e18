"""Tests of `smart_assets/defs/`."""
