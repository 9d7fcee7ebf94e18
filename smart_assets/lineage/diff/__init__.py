"""Two subsets or two checkpoints side by side: what they were made from and with, and what came of it."""
