"""How many rows each task and template gives to a total budget: recipes and the rules they name."""
