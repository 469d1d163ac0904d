"""The link to the server: calls, streams, replies, and what failures mean."""
