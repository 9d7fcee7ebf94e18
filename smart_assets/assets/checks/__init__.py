"""What is asserted of artifacts after they are made."""
