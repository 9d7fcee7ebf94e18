"""What may be claimed of models: rows in common, intervals, corrections, and the sentences that say it."""
