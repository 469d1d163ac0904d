"""The import path of the gRPC services in Ray's ``grpc_options``: ``ray_grpc.add_services``."""

from splitfer.cloud_server.ray_serve.grpc import add_services

__all__ = ["add_services"]
