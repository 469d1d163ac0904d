"""Facial expression recognition, split between an edge device and a cloud server.

``splitfer.edge_client`` is the device, ``splitfer.cloud_server`` the server, ``splitfer.shared``
what both must agree on.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splitfer.edge_client import Recognizer

__all__ = ["Recognizer"]


def __getattr__(name: str) -> Any:
    # Only when asked for: the server needs nothing of the edge, and its image holds nothing of it.
    if name == "Recognizer":
        from splitfer.edge_client import Recognizer

        return Recognizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
