"""Tests of `smart_assets/promotion/`."""
