"""What a latent tells of a face: ``python -m benchmarks leakage --data PATH --plot FILE``.

Latents are personal data. As somebody would who kept them, this trains a small network that makes
pictures of latents (``benchmarks.leakage.latent_decoder``), on faces of Training without a copy in
the part that is measured. Of that part, whose faces the network has never seen: how like the
original a picture made of a latent is at each rate, and how often an independent face network finds
the original among others by it (``benchmarks.leakage.reidentification``); beside it a picture file
of no more bytes. A stronger network would make better pictures: all of it is a lower bound.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.accuracy.paths import BATCH, Paths, crops_of
from benchmarks.accuracy.picture_codec import PictureCodec
from benchmarks.accuracy.truth import USAGES
from benchmarks.common import face_rows
from benchmarks.common.command import finish, positive
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.leakage import reidentification
from benchmarks.leakage.latent_decoder import SEED, Training, decoded, trained
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.weights import Weights, default_folder
from training.data.datasets import SIDE, DataError, Faces, data_path, load_fer2013
from training.data.duplicates import TRAINING, without_copies

CACHE = Path(".cache")
CODECS = ("webp", "jpeg")
SIDES_PX = (48, 40, 32, 24, 16)
QUALITIES = (1, 2, 3, 5, 8, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95)
# Of these faces' mean size a picture codec's setting is chosen.
SAMPLE = 64
DRAWN = 12


@dataclass(frozen=True)
class Seen:
    """What a listener makes of what was sent: pictures uint8 ``(N, 48, 48)`` of ``bytes_mean`` a
    face."""

    pictures: NDArray[np.uint8]
    bytes_mean: float


def latents(paths: Paths, pictures: NDArray[np.uint8], what: str) -> NDArray[np.float16]:
    """``z`` of pictures ``(N, 48, 48)``, each a crop. Half floats: the quantiser is coarser."""
    starts = tqdm(range(0, len(pictures), BATCH), desc=what, unit="batch", disable=None)
    parts = [paths.z(crops_of(pictures[start : start + BATCH])) for start in starts]
    return np.concatenate([part.astype(np.float16) for part in parts])


def payload_bytes(codec: PayloadCodec, symbols: NDArray[np.uint8], rate: int) -> float:
    """The mean size of the payloads of symbols ``(N, 8, 28, 28)``."""
    return float(np.mean([len(codec.encode(Latent(one, rate))) for one in symbols]))


def picture_of(kind: str, pictures: NDArray[np.uint8], most_bytes: float) -> PictureCodec | None:
    """The setting of a codec whose mean size over a few of ``pictures`` is the largest that is no
    more than ``most_bytes``, of the largest side at which there is one; None where there is none.
    """
    few = pictures[:: max(1, len(pictures) // SAMPLE)][:SAMPLE]
    for side in SIDES_PX:
        best: PictureCodec | None = None
        for quality in QUALITIES:
            codec = PictureCodec(kind, quality, side)
            if np.mean([len(codec.encode(picture)) for picture in few]) > most_bytes:
                break
            best = codec
        if best is not None:
            return best
    return None


def through_picture(codec: PictureCodec, pictures: NDArray[np.uint8]) -> Seen:
    """Pictures as files, and read; smaller ones are enlarged."""
    files = [codec.encode(picture) for picture in pictures]
    read = [Image.fromarray(codec.decode(file)) for file in files]
    large = [np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for one in read]
    return Seen(np.stack(large), float(np.mean([len(file) for file in files])))


def likeness(made: NDArray[np.uint8], originals: NDArray[np.uint8]) -> dict[str, float]:
    """Mean PSNR in dB (of pictures that are not equal) and mean SSIM, pictures ``(N, 48, 48)``.

    Raises:
        DataError: scikit-image is not installed.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise DataError("SSIM needs scikit-image: pip install '.[leakage]'") from error
    errors = np.square(made.astype(np.float64) - originals).mean(axis=(1, 2))
    psnr = 10 * np.log10(255**2 / errors[errors > 0])
    ssim = [
        structural_similarity(one, other, data_range=255)  # type: ignore[no-untyped-call]
        for one, other in zip(made, originals, strict=True)
    ]
    return {
        "psnr_db": round(float(psnr.mean()), 3) if len(psnr) else float("inf"),
        "ssim": round(float(np.mean(ssim)), 4),
    }


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    # First, so that nothing is trained in vain.
    describe = reidentification.dlib_descriptors()
    data = data_path(arguments.data)
    weights = Weights(arguments.weights or default_folder())
    faces = load_fer2013(data, arguments.usage)
    if arguments.most is not None:
        faces = faces.subset(np.arange(len(faces)) < arguments.most)
    places = reidentification.gallery_places(faces, arguments.gallery)
    seen, training = _seen(weights, faces, data, arguments)
    gallery = describe(faces.pictures[places])
    rows = {
        name: {
            "bytes_mean": round(one.bytes_mean, 1),
            **likeness(one.pictures, faces.pictures),
            **reidentification.row(reidentification.ranks(describe(one.pictures[places]), gallery)),
        }
        for name, one in tqdm(seen.items(), desc="measured", disable=None)
    }
    if arguments.plot:
        drawn = places[:DRAWN]
        shown = {name: one.pictures[drawn] for name, one in seen.items()}
        face_rows.draw({"original": faces.pictures[drawn], **shown}, arguments.plot)
    return {
        "usage": arguments.usage, "n": len(faces), "gallery": len(places),
        "chance": {f"rank_{most}": round(most / len(places), 6) for most in reidentification.RANKS},
        "rows": rows, "decoder": {"faces": training.faces, "epochs": training.epochs},
        "fingerprint": weights.manifest.fingerprint, "machine": describe_machine(),
    }  # fmt: skip


def _seen(
    weights: Weights, faces: Faces, data: Path, arguments: argparse.Namespace
) -> tuple[dict[str, Seen], Training]:
    """What is made of every rate's latents and of picture files of no more bytes, by name."""
    paths = Paths(weights, "", arguments.threads)
    learnt = load_fer2013(data, TRAINING)
    order = np.random.default_rng(SEED).permutation(len(learnt))
    learnt = learnt.subset(order < arguments.faces)
    learnt = learnt.subset(without_copies(learnt, faces))
    fingerprint, quantiser = weights.manifest.fingerprint, weights.quantiser
    training = Training(fingerprint, len(learnt), arguments.epochs)
    file = arguments.decoder or CACHE / f"leakage-{fingerprint}.pt"
    z = latents(paths, learnt.pictures, "latents to learn from")
    decoder = trained(z, learnt.pictures, quantiser, training, file, arguments.threads)
    z = latents(paths, faces.pictures, "latents to look at")
    seen: dict[str, Seen] = {}
    for rate, entry in enumerate(weights.manifest.rates):
        symbols = quantiser.symbols(z.astype(np.float32), rate)
        size = payload_bytes(weights.payload_codec, symbols, rate)
        seen[f"latent, {entry.name}"] = Seen(decoded(decoder, symbols, quantiser.steps(rate)), size)
        for kind in CODECS:
            codec = picture_of(kind, faces.pictures, size)
            if codec is not None:
                seen.setdefault(str(codec), through_picture(codec, faces.pictures))
    return seen, training


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    heads = (
        ("bytes/face", 12),
        ("PSNR, dB", 10),
        ("SSIM", 8),
        ("rank 1", 9),
        ("95 % interval", 18),
        ("rank 5", 9),
    )
    lines = [
        f"{result['usage']}, {result['n']} faces, weights {result['fingerprint']}",
        f"decoder: {result['decoder']['epochs']} epochs of {result['decoder']['faces']} latents",
        f"ranks: the original among {result['gallery']} pictures",
        "",
        f"{'what is sent':<28}" + "".join(f"{head:>{width}}" for head, width in heads),
    ]
    for name, row in result["rows"].items():
        low, high = row["rank_1_interval_95"]
        lines.append(
            f"{name:<28}{row['bytes_mean']:>12,.0f}{row['psnr_db']:>10.1f}{row['ssim']:>8.3f}"
            f"{row['rank_1']:>9.1%}{f'{low:.1%} - {high:.1%}':>18}{row['rank_5']:>9.1%}"
        )
    chance = result["chance"]
    lines.append(f"{'chance':<28}{'':>30}{chance['rank_1']:>9.1%}{'':>18}{chance['rank_5']:>9.1%}")
    return "\n".join([*lines, "", machine_line(result["machine"])])


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument(
        "--usage", choices=[one for one in USAGES if one != TRAINING], default="PublicTest"
    )
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--most", type=positive, help="measure the first N faces only")
    parser.add_argument("--faces", type=positive, default=8000, help="of Training, to learn from")
    parser.add_argument("--epochs", type=positive, default=4, help="over them")
    parser.add_argument(
        "--decoder",
        type=Path,
        metavar="FILE",
        help="where the decoder is kept: an interrupted training goes on from it, "
        "and one that is done is not done again (default: in .cache/)",
    )
    parser.add_argument("--gallery", type=positive, default=300, help="pictures to find one among")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw originals and what is seen")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main() -> int:
    """Command line; gives the exit code."""
    return finish(parser().parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
