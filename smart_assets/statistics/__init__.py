"""Intervals: shared by what reports on models and by what promotes them."""
