"""A run that can be left alone: who is told its answers, its purpose, what is logged of it."""
