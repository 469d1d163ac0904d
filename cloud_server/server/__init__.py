"""The server's process: its parts wired together, its listeners, and what SIGHUP reloads."""
