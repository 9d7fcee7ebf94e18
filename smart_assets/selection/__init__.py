"""Which rows of a task come first: objectives, orderings and their engines. A library of its own."""
