"""Reading the files of artifacts that a step depends on."""
