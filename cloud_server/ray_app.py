"""What ``serve run splitfer.cloud_server.ray_app:app`` names."""

from splitfer.cloud_server.ray_serve.app import app

__all__ = ["app"]
