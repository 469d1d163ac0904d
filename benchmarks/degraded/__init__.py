"""What bad pictures cost."""
