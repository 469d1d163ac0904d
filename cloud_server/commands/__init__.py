"""The commands of ``cloud-server`` beside ``serve``."""
