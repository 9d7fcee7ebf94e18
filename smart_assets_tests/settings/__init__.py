"""Tests of `smart_assets/settings/`."""
