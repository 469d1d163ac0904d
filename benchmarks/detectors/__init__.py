"""Which detector finds which faces, and what it costs."""
