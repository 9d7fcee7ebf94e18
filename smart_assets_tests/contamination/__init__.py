"""Tests of `smart_assets/contamination/`."""
