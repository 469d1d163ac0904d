"""Data, training, evaluation and export of the weights. Needs torch; nothing deployed does."""
