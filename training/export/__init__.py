"""From checkpoints to a folder of weights."""
