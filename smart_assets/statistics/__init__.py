"""Intervals for what reports on models and for what promotes them: by resampling rows, by Student's t over the rest."""
