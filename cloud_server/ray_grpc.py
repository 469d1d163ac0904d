"""What ``grpc_servicer_functions: [splitfer.cloud_server.ray_grpc.add_services]`` names."""

from splitfer.cloud_server.ray_serve.grpc import add_services

__all__ = ["add_services"]
