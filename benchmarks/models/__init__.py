"""The papers' networks, and others beside them."""
