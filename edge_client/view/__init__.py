"""What a device shows on its own: a live page, its health, its metrics."""
