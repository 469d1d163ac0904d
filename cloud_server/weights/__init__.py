"""The weights that are served, and how they change while the server runs."""
