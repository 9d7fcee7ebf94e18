"""Tests of `smart_assets/selection/`."""
