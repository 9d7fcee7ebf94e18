"""Tests of `smart_assets/report/`."""
