"""Engines: what picks greedily. Imported when an ordering is made, since they bring numba or torch along."""
