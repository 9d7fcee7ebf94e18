"""Tests of `smart_assets/reproduce/`."""
