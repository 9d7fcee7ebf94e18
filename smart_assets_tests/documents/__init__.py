"""Tests of `smart_assets/documents/`."""
