"""The papers' networks and others, compared."""
