"""What a model was trained on: every row with its origin, every setting, and the chain from raw file to weights."""
