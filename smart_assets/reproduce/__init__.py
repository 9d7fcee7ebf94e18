"""Proof that a subset or checkpoint is what its recipe gives: derived once more in an empty store, and compared."""
