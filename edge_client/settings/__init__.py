"""What a run is told: at its start, and while it runs."""
