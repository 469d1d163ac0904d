"""gRPC without lines of its own on the error output: what they tell, the link says in words.

gRPC looks at the variable once, when it is loaded, so this module comes before any other that
loads it. Whoever sets ``GRPC_VERBOSITY`` gets what it asks for.
"""

from __future__ import annotations

import os

__all__ = ["grpc"]  # for who would else load it first

_VARIABLE = "GRPC_VERBOSITY"

if _VARIABLE not in os.environ:
    os.environ[_VARIABLE] = "NONE"
    try:
        import grpc
    finally:
        # Processes that this one starts are no business of ours.
        del os.environ[_VARIABLE]
else:
    import grpc
