"""Which checkpoint is production: the log of promotions, and the rule that adds to it."""
