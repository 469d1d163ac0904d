"""``cloud-server sign``: say with a key that weights may go to devices."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitfer.shared.arguments import file_name
from splitfer.shared.errors import ConfigError, WrongNumbersError
from splitfer.shared.extras import needing
from splitfer.shared.standard_streams import put

if TYPE_CHECKING:
    from splitfer.shared.weights import Weights


def add_sign_command(commands: Any) -> None:
    """Add ``sign`` to a parser's sub-commands."""
    parser = commands.add_parser(
        "sign",
        help="sign weights that devices may get",
        description="Write release.json into a folder of weights: a number above the one before, "
        "and a signature of it and the manifest. Devices that hold the public key take these "
        "weights from a server that hands them out. Keep the private key off servers.",
    )
    parser.add_argument("folder", nargs="?", type=file_name, metavar="FOLDER")
    parser.add_argument("--key", type=file_name, metavar="PEM", help="the private key")
    parser.add_argument(
        "--release", type=int, metavar="N", help="its number (one more than the folder's last)"
    )
    parser.add_argument(
        "--new-key",
        type=file_name,
        metavar="PEM",
        help="make a private key there, and the public one beside it (.pub), and stop",
    )
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run_sign(arguments: argparse.Namespace) -> None:
    """Run it.

    Raises:
        ConfigError: something lacks, or cannot be written.
        WeightsError: the folder holds no weights, or altered ones.
    """
    with needing("cloud"):
        import cryptography  # noqa: F401
    # Only now: the other commands, probes among them, need no network.
    from splitfer.shared.weights import Weights
    from splitfer.shared.weights.release import (
        new_key,
        read_private_key,
        read_release,
        sign,
        write_release,
    )

    try:
        if arguments.new_key is not None:
            public = new_key(arguments.new_key)
            put(f"{arguments.new_key}: keep it; {public}: for devices (weights_key)")
            return
        folder: Path | None = arguments.folder
        if folder is None or arguments.key is None:
            raise ConfigError("name the folder and --key, or --new-key")
        weights = Weights(folder)
        weights.head(1)
        for model in weights.manifest.local_models.values():
            _check(weights, model)
        before, number = read_release(folder), arguments.release
        if number is None:
            number = before.number + 1 if before else 1
        manifest = (folder / "manifest.json").read_bytes()
        write_release(folder, sign(manifest, number, read_private_key(arguments.key)))
    except OSError as error:
        raise ConfigError(f"{error.filename or 'sign'}: {error.strerror}") from error
    put(f"{folder} is release {number} of {weights.manifest.fingerprint}")


def _check(weights: Weights, model: str) -> None:
    """Warn where another local model than the backbone gives other numbers on this machine: each
    device finds out for itself, and one in 8 bits may come out right on another processor."""
    from splitfer.shared.weights.manifest import LOCAL_TAIL

    try:
        weights.tail(model, 1)
    except WrongNumbersError as error:
        if model == LOCAL_TAIL:
            raise
        print(f"warning: {error}; devices like this machine will refuse it", file=sys.stderr)
