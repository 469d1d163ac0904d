"""Faces over time: who is who from frame to frame, and what they show without flicker."""
