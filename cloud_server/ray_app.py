"""The import path of the Ray application: ``serve run splitfer.cloud_server.ray_app:app``."""

from splitfer.cloud_server.ray_serve.app import app

__all__ = ["app"]
