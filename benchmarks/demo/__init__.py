"""The demo of the whole path."""
