"""What the edge gives on the machine this runs on, into a folder, for ``compare.py``: from a
picture with faces. It needs SplitFER, installed, and no more.

    python measure.py FOLDER PICTURE [--other FOLDER] [--server ADDRESS]

``--other`` is what another machine gave: its payloads are read here. ``--server`` answers the
picture too, from payloads that are made here.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.config import program_config
from splitfer.edge_client.device import Device, FoundFaces
from splitfer.edge_client.sources.open import open_source
from splitfer.shared.codec.entropy import EntropyTables, encode_symbols
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.quantiser import ZERO_SYMBOL
from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder

# The golden crops are few: moved and mirrored they are other inputs, the same on every machine.
SHIFTS_PX = (0, 5, 11, 23)
CHANCE_LATENTS = 20
# The longest there is: emulated, a picture takes its time.
DEADLINE_MS = 60_000
COMPILERS = ("cc", "gcc", "clang", "tcc")


def crops_of(golden: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """More crops uint8 ``(M, 224, 224)`` from the golden ones."""
    moved = [np.roll(golden, (by, -by), (1, 2)) for by in SHIFTS_PX]
    return np.ascontiguousarray(np.concatenate([*moved, *(one[:, :, ::-1] for one in moved)]))


def chance_symbols(limit: int, rates: int, tables: EntropyTables) -> list[str]:
    """Bodies of the entropy code, in hexadecimal digits, of symbols that hang on no network."""
    draw, bodies = random.Random(0), []
    size = int(np.prod(LATENT_SHAPE))
    for place in range(CHANCE_LATENTS):
        reach = 1 + place % limit
        drawn = np.frombuffer(draw.randbytes(size), np.uint8) % (2 * reach + 1)
        symbols = (ZERO_SYMBOL - reach + drawn).astype(np.uint8).reshape(LATENT_SHAPE)
        bodies += [encode_symbols(symbols, rate, tables).hex() for rate in range(rates)]
    return bodies


def verdict(check: Callable[[], object]) -> str:
    """``passed``, or what is wrong."""
    try:
        check()
    except WeightsError as error:
        return str(error)
    return "passed"


def classify(picture: Path, *flags: str) -> dict[str, Any]:
    """What ``edge-client classify`` says of a picture: its exit code, faces and error output."""
    command = [str(Path(sys.executable).with_name("edge-client")), "classify", str(picture)]
    deadline = ("--deadline-ms", str(DEADLINE_MS))
    ended = subprocess.run(
        [*command, *deadline, *flags], capture_output=True, text=True, check=False
    )
    faces = [json.loads(line) for line in ended.stdout.splitlines()]
    return {"code": ended.returncode, "faces": faces, "errors": ended.stderr}


def measure(picture: Path, other: Path | None, server: str | None) -> dict[str, Any]:
    """Everything, as JSON has it; ``arrays`` are apart."""
    weights = Weights(default_folder())
    rates, codec = len(weights.manifest.rates), weights.payload_codec
    assert weights.manifest.entropy is not None
    say("golden check")
    golden = {"head": verdict(partial(weights.head, 1))}
    for name in weights.manifest.tails:
        golden[name] = verdict(partial(weights.tail, name, 1))

    say("latents")
    device = Device(program_config({"server": server}))
    with open_source(str(picture)) as source:
        found = device.find(next(iter(source)).rgb)
    assert isinstance(found, FoundFaces), f"no face in {picture}"
    crops = crops_of(weights.golden.crops)
    features, z = weights._head(1).run(crops)
    z = np.concatenate([found.z, z])
    symbols = np.stack([weights.quantiser.symbols(z, rate) for rate in range(rates)])

    say("local models")
    logits = {}
    for model, name in weights.manifest.local_models.items():
        with suppress(WeightsError):  # the golden check above says what is wrong
            tail = weights.tail(name, 1)
            given = crops[:, None] if tail.takes_crops else features
            logits[f"logits_{model}"] = tail.logits(given)

    say("payloads")
    payloads = [
        [codec.encode(Latent(one, rate)).hex() for one in symbols[rate]] for rate in range(rates)
    ]
    data = (default_folder() / weights.manifest.entropy.file).read_bytes()
    bodies = chance_symbols(weights.manifest.symbol_limit, rates, EntropyTables.from_bytes(data))
    read = None if other is None else read_payloads(weights, other)

    say("edge-client classify")
    local = classify(picture)
    if server is not None:
        say("edge-client classify, by a server")
    cloud = None if server is None else classify(picture, "--server", server, "--policy", "cloud")

    say("the bundled clip")
    with open_source("demo") as source:
        frame = next(iter(source)).rgb
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": {one.name: one.version for one in distributions()},
        "compilers": [name for name in COMPILERS if shutil.which(name)],
        "golden": golden,
        "boxes": [box.as_list() for box in found.boxes],
        "payloads": payloads,
        "bodies": bodies,
        "read": read,
        "local": local,
        "cloud": cloud,
        "arrays": {"symbols": symbols, "frame": frame, **logits},
    }


def read_payloads(weights: Weights, other: Path) -> list[int]:
    """How many of another machine's payloads give their symbols here, and of how many."""
    measured = json.loads((other / "measured.json").read_text())
    symbols = np.load(other / "arrays.npz")["symbols"]
    same = [
        bool(np.array_equal(weights.payload_codec.decode(bytes.fromhex(one)).symbols, expected))
        for payloads, rows in zip(measured["payloads"], symbols, strict=True)
        for one, expected in zip(payloads, rows, strict=True)
    ]
    return [sum(same), len(same)]


def say(what: str) -> None:
    """A line of progress."""
    print(f"arm64: {time.strftime('%T')} {platform.machine()}: {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--server")
    arguments = parser.parse_args()
    measured = measure(arguments.picture, arguments.other, arguments.server)
    np.savez_compressed(arguments.folder / "arrays.npz", **measured.pop("arrays"))
    (arguments.folder / "measured.json").write_text(json.dumps(measured))


if __name__ == "__main__":
    main()
