"""The engine on Ray Serve."""
