"""A HEIC file as telephones write them: several HEVC tiles that make one picture."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
from av.video.stream import VideoStream


def tiled_heic(greys: list[int], side_px: int = 64) -> bytes:
    """Tiles of ``side_px`` in one row, each of one grey."""
    tiles, configuration = [], b""
    for grey in greys:
        configuration, picture = _hevc(grey, side_px)
        tiles.append(picture)
    grid_id = len(tiles) + 1
    size = (side_px * len(tiles), side_px)
    grid = struct.pack(">BBBBHH", 0, 0, 0, len(tiles) - 1, *size)
    items = b"".join(
        _full(b"infe", 2, struct.pack(">HH4s", item, 0, b"hvc1") + b"\0")
        for item in range(1, grid_id)
    ) + _full(b"infe", 2, struct.pack(">HH4s", grid_id, 0, b"grid") + b"\0")
    references = struct.pack(">HH", grid_id, len(tiles))
    references += b"".join(struct.pack(">H", item) for item in range(1, grid_id))
    properties = _box(
        b"ipco",
        _box(b"hvcC", configuration)
        + _full(b"ispe", 0, struct.pack(">II", side_px, side_px))
        + _full(b"ispe", 0, struct.pack(">II", *size)),
    )
    links = struct.pack(">I", grid_id)
    for item in range(1, grid_id):
        links += struct.pack(">HBBB", item, 2, 0x81, 2)
    links += struct.pack(">HBB", grid_id, 1, 3)
    properties += _full(b"ipma", 0, links)
    start = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")

    def meta(offset: int) -> bytes:
        places = struct.pack(">BBH", 0x44, 0, grid_id)
        for item, tile in enumerate(tiles, 1):
            places += struct.pack(">HHHHII", item, 0, 0, 1, offset, len(tile))
            offset += len(tile)
        places += struct.pack(">HHHHII", grid_id, 1, 0, 1, 0, len(grid))
        return _full(
            b"meta",
            0,
            _full(b"hdlr", 0, bytes(4) + b"pict" + bytes(13))
            + _full(b"pitm", 0, struct.pack(">H", grid_id))
            + _full(b"iinf", 0, struct.pack(">H", grid_id) + items)
            + _full(b"iref", 0, _box(b"dimg", references))
            + _box(b"iprp", properties)
            + _full(b"iloc", 1, places)
            + _box(b"idat", grid),
        )

    return start + meta(len(start) + len(meta(0)) + 8) + _box(b"mdat", b"".join(tiles))


def _hevc(grey: int, side_px: int) -> tuple[bytes, bytes]:
    """``hvcC`` and the one picture, as an MP4 has them."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx265", rate=1)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = side_px
        stream.pix_fmt = "yuv420p"
        stream.options = {"x265-params": "log-level=none:keyint=1:pools=none"}
        frame = av.VideoFrame.from_ndarray(
            np.full((side_px, side_px, 3), grey, np.uint8), format="rgb24"
        )
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    out.seek(0)
    with av.open(out) as written:
        stream = written.streams.video[0]
        packet = next(packet for packet in written.demux(stream) if packet.size)
        return bytes(stream.codec_context.extradata or b""), bytes(packet)


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def _full(name: bytes, version: int, body: bytes) -> bytes:
    return _box(name, struct.pack(">I", version << 24) + body)
