"""The process that reads the Pi's own camera: ``python -m`` this module, see ``bounded_decoder``.

Its pictures are this machine's own, but libcamera may hang or crash as any driver may.
"""

from __future__ import annotations

from typing import Any

from splitfer.edge_client.sources.decoder_process import serve
from splitfer.edge_client.sources.picamera_decoder import PicameraDecoder
from splitfer.shared.child_process import bound_child

# libcamera opens every device that may belong to a camera, and shares memory with it as files.
_MEMORY_BYTES = 2**30
_OPEN_FILES = 512


def main() -> None:
    """Read what is asked for over the socket at stdin until it closes."""
    import picamera2  # noqa: F401  # before the bounds

    bound_child(_MEMORY_BYTES, _OPEN_FILES, writes=True)
    serve(_opened)


def _opened(request: dict[str, Any]) -> PicameraDecoder:
    return PicameraDecoder(int(request["address"]), request["name"], request.get("most_fps"))


if __name__ == "__main__":
    main()
