"""Accuracy and bytes by path: ``python -m benchmarks.accuracy --data PATH --usage PublicTest``.

Runs the ONNX files through the code that the edge and the server use, from the crop on: dlib finds
no face in a 48x48 picture, so each picture of FER2013 is taken as the crop.

    cloud  head -> payload -> bytes -> payload -> cloud tail
    local  head -> local tail
    image  picture codec -> bytes -> decoded as the server does -> head -> cloud tail
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.command import finish
from benchmarks.machine import describe_machine, machine_line
from shared.contracts import Limits
from shared.contracts import Path as AnswerPath
from shared.errors import WeightsError
from shared.latent import Latent
from shared.picture import decode_picture
from shared.preprocess import enlarge_crop, to_grey
from shared.runtime import Head, Tail
from shared.weights import Weights, default_folder
from shared.weights.manifest import LOCAL_TAIL
from training.datasets import Faces, data_path, load_fer2013

BATCH = 32
USAGES = ("PublicTest", "PrivateTest", "Training")
PictureCodec = Callable[[NDArray[np.uint8]], bytes]


def picture_codec(name: str) -> PictureCodec:
    """``jpeg:75``, ``webp:75``, ``webp:lossless`` or ``png`` -> grey uint8 ``(H, W)`` to bytes.

    Raises:
        ValueError: another name, or a quality outside 1..100.
    """
    kind, _, setting = name.partition(":")
    options: dict[str, Any]
    if name in ("png", "webp:lossless"):
        options = {"lossless": True} if kind == "webp" else {"optimize": True}
    elif kind in ("jpeg", "webp") and setting.isdecimal() and 1 <= int(setting) <= 100:
        options = {"quality": int(setting)}
    else:
        raise ValueError(f"{name!r} is none of jpeg:1-100, webp:1-100, webp:lossless, png")

    def encode(grey: NDArray[np.uint8]) -> bytes:
        out = io.BytesIO()
        Image.fromarray(grey).save(out, kind, **options)
        return out.getvalue()

    return encode


class Paths:
    """The three paths over a batch of crops, each giving logits and the bytes it sent per face."""

    def __init__(
        self, weights: Weights, head: Head, local: Tail, cloud: Tail, codec: PictureCodec
    ) -> None:
        self._head, self._local, self._cloud, self._codec = head, local, cloud, codec
        self._quantiser, self._payloads = weights.quantiser, weights.payload_codec
        self._rate = weights.rate_index("")
        self._steps = self._quantiser.steps(self._rate)

    def run(
        self, path: AnswerPath, pictures: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], list[int]]:
        """Pictures uint8 ``(N, 48, 48)`` -> logits ``(N, 7)`` and N byte counts."""
        if path is AnswerPath.IMAGE:
            sent = [self._codec(picture) for picture in pictures]
            most = Limits().picture_pixels
            pictures = np.stack([to_grey(decode_picture(data, most)) for data in sent])
            symbols = self._quantiser.symbols(self._head.run(_crops(pictures))[1], self._rate)
            return self._cloud.logits(symbols, self._steps), [len(s) for s in sent]
        features, z = self._head.run(_crops(pictures))
        if path is AnswerPath.LOCAL:
            return self._local.logits(features), [0] * len(pictures)
        symbols = self._quantiser.symbols(z, self._rate)
        payloads = [self._payloads.encode(Latent(one, self._rate)) for one in symbols]
        received = np.stack([self._payloads.decode(payload).symbols for payload in payloads])
        return self._cloud.logits(received, self._steps), [len(payload) for payload in payloads]


def _crops(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([enlarge_crop(picture) for picture in pictures])


def measure(paths: Paths, wanted: tuple[AnswerPath, ...], faces: Faces) -> dict[str, Any]:
    """Accuracy (a fraction), its 95 % interval, and mean bytes for each wanted path."""
    right = dict.fromkeys(wanted, 0)
    sent = dict.fromkeys(wanted, 0)
    for start in tqdm(range(0, len(faces), BATCH), unit="batch", disable=None):
        batch = slice(start, start + BATCH)
        for path in wanted:
            logits, sizes = paths.run(path, faces.pictures[batch])
            right[path] += int((logits.argmax(axis=1) == faces.labels[batch]).sum())
            sent[path] += sum(sizes)
    rows: dict[str, Any] = {}
    for path in wanted:
        row: dict[str, Any] = {
            "accuracy": round(right[path] / len(faces), 6),
            "interval_95": _wilson(right[path], len(faces)),
        }
        if path is not AnswerPath.LOCAL:
            row["bytes_mean"] = round(sent[path] / len(faces), 1)
        rows[str(path)] = row
    return rows


def _wilson(right: int, n: int) -> list[float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.959964, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return [round(middle - half, 4), round(middle + half, 4)]


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    codec = picture_codec(arguments.picture_codec)
    data = data_path(arguments.data)
    weights = Weights(arguments.weights or default_folder())
    tail = arguments.tail or weights.manifest.default_tail
    if tail in weights.manifest.tails and weights.manifest.tails[tail].path is AnswerPath.LOCAL:
        raise WeightsError(f"{tail!r} is not a cloud tail")
    paths = Paths(
        weights, weights.head(arguments.threads), weights.tail(LOCAL_TAIL, arguments.threads),
        weights.tail(tail, arguments.threads), codec,
    )  # fmt: skip
    faces = load_fer2013(data, arguments.usage)
    if arguments.most is not None:
        faces = faces.subset(np.arange(len(faces)) < arguments.most)
    wanted = tuple(AnswerPath) if arguments.path == "all" else (AnswerPath(arguments.path),)
    rows = measure(paths, wanted, faces)
    if AnswerPath.IMAGE in rows:
        rows[AnswerPath.IMAGE]["picture_codec"] = f"{arguments.picture_codec}, 48x48 grey"
    return {
        "usage": arguments.usage, "n": len(faces), "paths": rows,
        "fingerprint": weights.manifest.fingerprint, "tail": tail,
        "machine": describe_machine(),
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [f"{result['usage']}, {result['n']} faces, weights {result['fingerprint']}", ""]
    lines.append(f"{'path':<8}{'accuracy':>10}{'95 % interval':>18}{'bytes/face':>12}")
    for name, row in result["paths"].items():
        low, high = row["interval_95"]
        sent = row.get("bytes_mean", "-")
        interval = f"{low:.2%} - {high:.2%}"
        lines.append(f"{name:<8}{row['accuracy']:>10.2%}{interval:>18}{sent:>12}")
    image = result["paths"].get("image")
    if image:
        lines.append(f"image: {image['picture_codec']}")
    return "\n".join([*lines, "", machine_line(result["machine"])])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _codec_name(text: str) -> str:
    try:
        picture_codec(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--usage", choices=USAGES, default="PublicTest")
    parser.add_argument("--path", choices=("all", *map(str, AnswerPath)), default="all")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", help="the cloud tail; else the weights' default")
    parser.add_argument(
        "--picture-codec", type=_codec_name, default="jpeg:75",
        help="for path image: jpeg:1-100, webp:1-100, webp:lossless or png",
    )  # fmt: skip
    parser.add_argument("--most", type=_positive, help="measure the first N faces only")
    parser.add_argument("--threads", type=_positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    return finish(arguments, report, table)


if __name__ == "__main__":
    sys.exit(main())
