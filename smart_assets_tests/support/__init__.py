"""Factories and helpers that tests share."""
