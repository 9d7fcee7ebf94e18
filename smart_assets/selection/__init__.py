"""Selection: how many instances each task gives to a total budget, and which ones."""
