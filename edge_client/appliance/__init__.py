"""A run that can be left alone: where its answers go, its purpose, its audit log, systemd."""
