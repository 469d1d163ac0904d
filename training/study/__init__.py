"""Ablations and curves."""
