"""Training: one run, what it starts from, and its teachers."""
