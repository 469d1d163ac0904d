"""The device: frames in, one answer per face out, through the cloud or alone."""

from edge_client.recognizer import Recognizer

__all__ = ["Recognizer"]
