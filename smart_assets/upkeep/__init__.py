"""Keeping a store in order: what may be deleted, and whether what is there is whole."""
