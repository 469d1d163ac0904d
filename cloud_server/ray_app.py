"""What ``serve run cloud_server.ray_app:app`` names."""

from cloud_server.ray_serve.app import app

__all__ = ["app"]
