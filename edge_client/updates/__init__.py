"""Newer weights from the server: fetched, judged, tried, and left again where they fail."""
