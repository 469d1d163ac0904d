"""One frame by the path that was chosen: sending, waiting, merging answers."""
