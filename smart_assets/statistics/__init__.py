"""Intervals by Student's t: over rows and seeds for what reports on models, over tasks for what promotes them."""
