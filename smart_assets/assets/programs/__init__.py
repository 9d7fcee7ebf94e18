"""Running training and evaluation as programs of their own."""
