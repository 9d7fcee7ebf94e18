"""Forgetting rows: what is to be forgotten, what holds it, and taking it out of everything of the past."""
