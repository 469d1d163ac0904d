"""What the device's stages cost."""
