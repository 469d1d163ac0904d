"""Short clips with a face in them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

import splitfer.edge_client.assets


def write_start_of_demo(file: Path, frames: int) -> Path:
    """The start of the demo clip in the one form that needs no encoder, ``.y4m``."""
    demo = Path(splitfer.edge_client.assets.__file__).parent / "demo.mp4"
    with av.open(str(demo)) as source, file.open("wb") as out:
        stream = source.streams.video[0]
        out.write(b"YUV4MPEG2 W%d H%d F15:1 Ip A1:1 C420jpeg\n" % (stream.width, stream.height))
        for frame, _ in zip(source.decode(stream), range(frames), strict=False):
            pixels = frame.reformat(format="yuv420p").to_ndarray()
            out.write(b"FRAME\n" + pixels.tobytes())
    return file


def demo_frames() -> list[NDArray[np.uint8]]:
    """Every frame of the demo clip, RGB uint8 ``(H, W, 3)``."""
    demo = Path(splitfer.edge_client.assets.__file__).parent / "demo.mp4"
    with av.open(str(demo)) as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
