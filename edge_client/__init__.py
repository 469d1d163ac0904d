"""The device: frames in, one answer per face out, through the cloud or alone."""

from edge_client import quiet_grpc as _quiet_grpc  # noqa: F401  # before anything loads gRPC
from edge_client.recognizer import Recognizer

__all__ = ["Recognizer"]
