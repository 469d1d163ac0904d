"""Faces in batches through heads and tails."""
