"""What `smart export --for` writes: rows in the form of a trainer, and the block of its configuration."""
