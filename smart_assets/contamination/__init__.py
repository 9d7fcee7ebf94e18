"""Evaluation texts in training rows: the same text, and word n-grams in common. Knows no store."""
