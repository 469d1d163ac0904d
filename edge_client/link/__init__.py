"""The link to the server: calls, streams, replies, and what failures mean."""

from splitfer.edge_client import quiet_grpc as _quiet_grpc  # noqa: F401  # before anything loads gRPC
