"""What a hostile caller costs the server, and those who ask beside it."""
