"""Makes the bundled clip from one photograph: ``python -m splitfer.edge_client.assets.make_demo``.

The photograph is NASA's portrait of Eileen Collins (public domain), which scikit-image ships. A
camera moves over it, and a second astronaut walks in: the same portrait mirrored, in other light
and in another suit. ``PHASES`` says how many faces there are to find, and when.

The same library versions write the same bytes.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from skimage.data import astronaut

SIZE = (640, 480)
FPS = 20
SECONDS = 8.4

PHASES: tuple[tuple[float, float, int], ...] = (
    (0.0, 0.7, 0),
    (1.4, 3.3, 1),
    (4.5, 6.2, 2),
    (7.1, 7.5, 1),
    (8.1, 8.4, 0),
)
"""``(from_s, to_s, faces)``; what lies between is somebody on the way in or out."""

# (time_s, centre x, centre y, zoom, roll in degrees), in pixels of the photograph.
_CAMERA = (
    (0.0, 344.0, 391.0, 1.90, 0.0),
    (0.7, 344.0, 386.0, 1.95, 0.0),
    (1.4, 236.0, 152.0, 1.75, 2.0),
    (2.6, 226.0, 126.0, 2.15, -3.0),
    (3.3, 236.0, 150.0, 1.75, 0.0),
    (4.2, 264.0, 172.0, 1.36, 1.0),
    (5.4, 270.0, 166.0, 1.42, -2.0),
    (6.2, 264.0, 172.0, 1.36, 1.0),
    (7.0, 236.0, 152.0, 1.70, 0.0),
    (7.5, 228.0, 150.0, 1.75, 0.0),
    (8.1, 330.0, 385.0, 1.90, 0.0),
    (8.4, 340.0, 390.0, 1.90, 0.0),
)
# (time_s, how far right of its own place the mirrored portrait stands).
_VISITOR = ((3.5, 420.0), (4.4, 124.0), (6.2, 130.0), (7.0, 420.0))

_MARGIN = 96  # the photograph is continued by its mirror image, for a camera that rolls
_OUTLINE = (
    (115, 190), (120, 178), (127, 168), (138, 157), (155, 151), (172, 149), (184, 150), (182, 131),
    (176, 128), (171, 118), (160, 112), (155, 98), (153, 76), (156, 60), (168, 47), (187, 39),
    (197, 25), (215, 17), (235, 17), (258, 25), (278, 39), (290, 53), (298, 71), (300, 92),
    (292, 112), (283, 126), (274, 135), (267, 136), (262, 150), (256, 166), (254, 174), (268, 183),
    (285, 200), (298, 220), (305, 240), (322, 250), (338, 263), (350, 286), (360, 320), (363, 346),
    (340, 358), (318, 378), (300, 400), (288, 430), (280, 470), (278, 512), (40, 512), (26, 450),
    (23, 410), (31, 340), (41, 290), (56, 265), (76, 241), (100, 221), (113, 208),
)  # fmt: skip


def main() -> None:
    """Write ``demo.mp4`` next to this file."""
    path = Path(__file__).with_name("demo.mp4")
    write_clip(path)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KB, {SECONDS:g} s at {FPS} frames/s")


def write_clip(path: Path) -> None:
    """Draw and encode the whole clip: H.264, yuv420p, readable from its first bytes on."""
    photograph = astronaut()  # type: ignore[no-untyped-call]  # it publishes no types
    visitor, cutout = _visitor(photograph)
    margins = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0))
    stage = Image.fromarray(np.pad(photograph, margins, mode="reflect"))
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # more threads would cut the picture up differently
        stream.options = {"crf": "24", "preset": "slow", "flags": "+bitexact"}
        for index in range(round(SECONDS * FPS)):
            picture = draw(stage, visitor, cutout, index / FPS)
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def draw(
    stage: Image.Image, visitor: Image.Image, cutout: Image.Image, time_s: float
) -> Image.Image:
    """The picture at one instant, RGB, 640x480."""
    (offset,) = _between(_VISITOR, time_s)
    scene = stage.copy()
    scene.paste(visitor, (round(_MARGIN + offset), _MARGIN), cutout)
    x, y, zoom, roll = _between(_CAMERA, time_s)
    # A hand holds the camera.
    x += _MARGIN + 1.5 * math.sin(2 * math.pi * 0.9 * time_s)
    y += _MARGIN + 1.2 * math.sin(2 * math.pi * 1.3 * time_s + 1)
    cos, sin = math.cos(math.radians(roll)) / zoom, math.sin(math.radians(roll)) / zoom
    half_width, half_height = SIZE[0] / 2, SIZE[1] / 2
    to_scene = (
        cos,
        -sin,
        x - cos * half_width + sin * half_height,
        sin,
        cos,
        y - sin * half_width - cos * half_height,
    )
    return scene.transform(SIZE, Image.Transform.AFFINE, to_scene, Image.Resampling.BICUBIC)


def _between(keys: tuple[tuple[float, ...], ...], time_s: float) -> tuple[float, ...]:
    """The values at an instant, eased in and out of each key; held before the first and after
    the last."""
    if time_s <= keys[0][0]:
        return keys[0][1:]
    for (start, *before), (end, *after) in itertools.pairwise(keys):
        if time_s < end:
            share = 0.5 - 0.5 * math.cos(math.pi * (time_s - start) / (end - start))
            return tuple(a + share * (b - a) for a, b in zip(before, after, strict=True))
    return keys[-1][1:]


def _visitor(photograph: NDArray[np.uint8]) -> tuple[Image.Image, Image.Image]:
    """The portrait cut out, mirrored, lit from the other side, in a blue suit: picture and mask."""
    rows, columns = np.mgrid[0:512, 0:512]
    colours = photograph.astype(np.float64)
    below_chin = np.clip((rows - 188) / 16, 0, 1)[..., None]
    colours = colours * (1 - below_chin) + colours[..., ::-1] * below_chin
    light = (0.62 + 0.45 * np.clip((columns - 130) / 200, 0, 1))[..., None]
    colours = np.clip(colours * light * np.array([0.92, 0.97, 1.06]), 0, 255)
    mask = Image.new("L", (2048, 2048))
    ImageDraw.Draw(mask).polygon([(4 * x, 4 * y) for x, y in _OUTLINE], fill=255)
    soft = mask.resize((512, 512), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(1.2))
    flip = Image.Transpose.FLIP_LEFT_RIGHT
    return Image.fromarray(colours.astype(np.uint8)).transpose(flip), soft.transpose(flip)


if __name__ == "__main__":
    main()
