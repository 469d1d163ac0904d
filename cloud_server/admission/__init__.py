"""Who may ask, how much, and whether work is let in."""
