"""Latents to bytes and back, without any I/O."""
