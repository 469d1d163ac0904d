"""What the payload costs: ``python -m benchmarks codec``.

Bytes and time of one face's payload by codec and rate, on one core: encoding face by face, as the
edge does, and decoding a batch of faces, as the server does. With ``--data`` the faces are those
of FER2013's PublicTest, else one face of the bundled clip, moved about.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.device.face_frame import face_frame
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.contracts import Box, Limits
from splitfer.shared.errors import SourceError
from splitfer.shared.vision.crop import Cropping, crop_face, enlarge_crop
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import Weights, default_folder
from training.data.datasets import data_path, load_fer2013

HEAD_BATCH = 16
WARM_UP = 20


def moved_crops(count: int, cropping: Cropping) -> tuple[NDArray[np.uint8], str]:
    """Crops uint8 ``(count, 224, 224)`` of one face, its box moved and scaled, and what it is."""
    rgb, what = face_frame()
    grey = to_grey(rgb)
    boxes = DlibDetector(SearchLimits(max(rgb.shape), Limits().smallest_face_px, 1)).detect(grey)
    if not boxes:
        raise SourceError("no face is found in the benchmark's own frame")
    box, rng = boxes[0], np.random.default_rng(0)
    crops = []
    for _ in range(count):
        x, y = rng.normal(0, 0.05 * box.w, 2)
        side = box.w * rng.uniform(0.85, 1.15)
        moved = Box(int(box.x + x), int(box.y + y), int(side), int(side))
        crops.append(crop_face(grey, moved, cropping))
    return np.stack(crops), f"one face of a {what}, moved about"


def measure(codec: PayloadCodec, name: str, latents: list[Latent], batch: int) -> dict[str, Any]:
    """Bytes a face, milliseconds a face to encode, and to decode within batches of ``batch``."""
    encode_ms, payloads = [], []
    for latent in [*latents[:WARM_UP], *latents]:
        start = time.perf_counter()
        payload = codec.encode(latent, name)
        encode_ms.append((time.perf_counter() - start) * 1000)
        payloads.append(payload)
    encode_ms, payloads = encode_ms[-len(latents) :], payloads[-len(latents) :]
    decode_ms = []
    for first in range(0, len(payloads), batch):
        part = payloads[first : first + batch]
        start = time.perf_counter()
        decoded = [codec.decode(payload) for payload in part]
        decode_ms.append((time.perf_counter() - start) * 1000 / len(part))
        for latent, found in zip(latents[first:], decoded, strict=False):
            if not np.array_equal(latent.symbols, found.symbols):
                raise AssertionError(f"codec {name} gave other symbols than it was given")
    return {
        "bytes_mean": round(float(np.mean([len(payload) for payload in payloads])), 1),
        "encode": _spread(encode_ms),
        "decode": _spread(decode_ms),
    }


def _spread(times_ms: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(times_ms, (50, 95))
    return {"p50_ms": round(float(p50), 4), "p95_ms": round(float(p95), 4)}


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    weights = Weights(arguments.weights or default_folder())
    if arguments.data:
        pictures = load_fer2013(data_path(arguments.data), "PublicTest").pictures
        crops = np.stack([enlarge_crop(picture) for picture in pictures[: arguments.faces]])
        what = "FER2013 PublicTest"
    else:
        crops, what = moved_crops(arguments.faces, weights.manifest.crop)
    head, codec = weights.head(1), weights.payload_codec
    z = np.concatenate(
        [
            head.run(crops[first : first + HEAD_BATCH])[1]
            for first in tqdm(range(0, len(crops), HEAD_BATCH), desc="head", disable=None)
        ]
    )
    rows = []
    for rate, entry in enumerate(weights.manifest.rates):
        latents = [Latent(symbols, rate) for symbols in weights.quantiser.symbols(z, rate)]
        for name in codec.names:
            row = measure(codec, name, latents, arguments.batch)
            rows.append({"rate": entry.name, "codec": name, **row})
    return {
        "faces": len(crops),
        "of": what,
        "batch": arguments.batch,
        "rows": rows,
        "fingerprint": weights.manifest.fingerprint,
        "machine": describe_machine(),
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [
        f"{result['faces']} faces ({result['of']}), weights {result['fingerprint']}",
        f"decoded in batches of {result['batch']}, one core",
        "",
        f"{'':<20}{'':>9}{'encode, ms a face':>20}{'decode, ms a face':>20}",
        f"{'rate':<10}{'codec':<10}{'bytes':>9}" + f"{'p50':>10}{'p95':>10}" * 2,
    ]
    for row in result["rows"]:
        times = "".join(
            f"{row[part][key]:>10.3f}"
            for part in ("encode", "decode")
            for key in ("p50_ms", "p95_ms")
        )
        lines.append(f"{row['rate']:<10}{row['codec']:<10}{row['bytes_mean']:>9.1f}{times}")
    return "\n".join([*lines, "", machine_line(result["machine"])])


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder; else a clip's face")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--faces", type=_count, default=500)
    parser.add_argument("--batch", type=_count, default=32, help="faces decoded together")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
