"""Which path a frame takes, and the predictions behind it."""
