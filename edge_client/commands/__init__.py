"""The commands of ``edge-client`` beside ``run`` and ``classify``."""
