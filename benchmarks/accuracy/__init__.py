"""How right and how sure the answers are, by path and by bytes."""
