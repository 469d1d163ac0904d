"""What hostile callers send. Each is small on the wire for what it asks of who reads it."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib

import numpy as np
from PIL import Image

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec

INFER = "/splitfer.v1.SplitFer/Infer"
INFER_STREAM = "/splitfer.v1.SplitFer/InferStream"
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
# A field and the length 0: two bytes, and an object of some hundred where it is read.
EMPTY_INPUT, EMPTY_OUTPUT, EMPTY_PAYLOAD = b"\x2a\x00", b"\x32\x00", b"\x1a\x00"
MANY_FIELDS = 4 * 2**20  # of them: 8 MiB
CHUNKED = b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
SMALL_CHUNK = b"1\r\na\r\n"
# A masked frame around a message of latents without a face: its number, no deadline, no clock.
EMPTY_STREAM_FRAME = b"\x82\x90" + bytes(4) + bytes(16)
# Without a word of what may be packed.
UNPACKED_PAGE = b"GET /edge/ort.wasm HTTP/1.1\r\nHost: x\r\n\r\n"
TENSOR_ROUTE = "/v2/models/tail-cloud/infer"
GZIPPED = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
_SCAN = 0xDA


def many_tensors(count: int = 600_000) -> bytes:
    """JSON of so many empty inputs, packed: some 2 KB."""
    return gzip.compress(b'{"inputs":[' + b",".join([b"{}"] * count) + b"]}")


def many_outputs(count: int = 900_000) -> bytes:
    """The same of outputs that are numbers."""
    return gzip.compress(b'{"inputs":[],"outputs":[' + b",".join([b"1"] * count) + b"]}")


def long_shape(count: int = 900_000) -> bytes:
    """One tensor whose shape has so many dimensions."""
    before = b'{"inputs":[{"name":"latent","datatype":"UINT8","shape":['
    return gzip.compress(before + b",".join([b"1"] * count) + b"]}]}")


def empty_payloads(count: int = 131_000) -> bytes:
    """A body of ``/v1/latents`` with so many payloads of no byte."""
    return bytes(2 * count)


def operators_wish(size: int = 8_000_000) -> bytes:
    """A body for the admin route, of so many bytes."""
    return json.dumps({"folder": "x" * size}).encode()


def unreadable_payload(whole: bool = False) -> bytes:
    """Of a face that nobody can read; ``whole``: it says that it came as it was sent."""
    body, first = b"no face", 1
    checksum = zlib.crc32(bytes((first,)) + body) if whole else 0
    return struct.pack(">BI", first, checksum) + body


def stream_frame(payload: bytes) -> bytes:
    """A masked frame around a message of one face."""
    message = bytes(16) + struct.pack(">H", len(payload)) + payload
    return struct.pack(">BB", 0x82, 0x80 | len(message)) + bytes(4) + message


def payloads(count: int) -> list[bytes]:
    """Of so many faces, that any default weights read: raw symbols."""
    symbols = np.random.default_rng(1).integers(113, 144, (count, 8, 28, 28), dtype=np.uint8)
    codec = PayloadCodec(None, 1)
    return [codec.encode(Latent(one, 0)) for one in symbols]


def large_picture(side_px: int = 4000) -> bytes:
    """A JPEG of one colour: some 40 KB, and tens of megabytes where it is decoded."""
    out = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (90, 120, 150)).save(
        out, "JPEG", quality=5, progressive=True
    )
    return out.getvalue()


def many_scans(scans: int = 1100, side_px: int = 3200) -> bytes:
    """A progressive JPEG that is gone through so often: each scan costs as much as a picture."""
    out = io.BytesIO()
    Image.new("L", (side_px, side_px), 128).save(out, "JPEG", quality=5, progressive=True)
    whole = out.getvalue()
    pieces = _segments(whole)
    scans_at = [at for at, (marker, _) in enumerate(pieces) if marker == _SCAN]
    first, second = scans_at[:2]
    head = b"".join(data for _, data in pieces[: first + 1])
    # With its own tables. That it comes again and again is odd, and no damage.
    again = b"".join(data for _, data in pieces[first + 1 : second + 1])
    return b"\xff\xd8" + head + again * (scans - 1) + b"\xff\xd9"


def _segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """Marker and bytes of each segment; the data of a scan go with its marker."""
    found, place = [], 2
    while place < len(jpeg) - 2:
        marker = jpeg[place + 1]
        (length,) = struct.unpack_from(">H", jpeg, place + 2)
        end = place + 2 + length
        if marker == _SCAN:
            while not (jpeg[end] == 0xFF and jpeg[end + 1] not in (0, *range(0xD0, 0xD8))):
                end += 1
        found.append((marker, jpeg[place:end]))
        place = end
    return found
