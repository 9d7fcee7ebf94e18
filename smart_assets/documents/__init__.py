"""Standard documents of what was made, for auditors: Croissant, CycloneDX, cards, and a training-data summary."""
