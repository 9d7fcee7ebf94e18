"""What is out of date and why, what making it costs, and making it, one partition at a time."""
