"""Who published weights: a signature over the manifest, which has the hash of every file.

A folder of weights that is handed out holds ``release.json`` beside its manifest:

    {"release": 7, "signature": "<128 hex digits>"}

``release`` only grows: a device refuses one that is not above what it had, so that whoever can
answer in the server's place cannot bring back weights of before. The signature (Ed25519) covers it
and the manifest's bytes. Whoever signs keeps the private key: no server needs it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from splitfer.shared.errors import ConfigError, WeightsError
from splitfer.shared.regular_file import read_regular
from splitfer.shared.whole_file import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

RELEASE_FILE = "release.json"
MOST_RELEASES = 2**53
"""What a JSON reader of any language takes for a whole number."""

SIGNATURE_BYTES = 64
_LONGEST_BYTES = 4096
_WHAT = b"splitfer weights 1\n"


@dataclass(frozen=True)
class Release:
    """The number of a release, and the signature of it and its manifest."""

    number: int
    signature: bytes


def signed_bytes(manifest: bytes, number: int) -> bytes:
    """What is signed: which statement it is, the number, and the manifest's hash."""
    return _WHAT + b"%d\n%s\n" % (number, hashlib.sha256(manifest).hexdigest().encode())


def sign(manifest: bytes, number: int, key: Ed25519PrivateKey) -> Release:
    """The release of a manifest's bytes.

    Raises:
        ConfigError: ``number`` is not from 1 to ``MOST_RELEASES``.
    """
    if not 1 <= number <= MOST_RELEASES:
        raise ConfigError(f"a release's number is from 1 to {MOST_RELEASES}")
    return Release(number, key.sign(signed_bytes(manifest, number)))


def check_signature(manifest: bytes, release: Release, key: Ed25519PublicKey) -> None:
    """Return where ``release`` was signed by the owner of ``key``.

    Raises:
        WeightsError: it was not.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        if not 1 <= release.number <= MOST_RELEASES:
            raise InvalidSignature
        key.verify(release.signature, signed_bytes(manifest, release.number))
    except InvalidSignature:
        raise WeightsError(
            f"release {release.number}: its signature is not that of the publisher's key"
        ) from None


def read_release(folder: Path) -> Release | None:
    """The release of the weights in ``folder``; None where they were not signed.

    Raises:
        WeightsError: what stands there is none.
    """
    path = folder / RELEASE_FILE
    try:
        said = json.loads(read_regular(path, _LONGEST_BYTES))
        release = Release(said["release"], bytes.fromhex(said["signature"]))
        if type(release.number) is not int or len(release.signature) != SIGNATURE_BYTES:
            raise ValueError("a number and a signature are expected")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} is no release: {error}") from error
    return release


def write_release(folder: Path, release: Release) -> None:
    """Write the release into ``folder``.

    Raises:
        OSError: it cannot be written.
    """
    said = {"release": release.number, "signature": release.signature.hex()}
    write_whole(folder / RELEASE_FILE, json.dumps(said).encode() + b"\n")


def new_key(path: Path) -> Path:
    """Make a key: the private one at ``path``, which its owner alone may read, the public one
    beside it with the ending ``.pub``, which is given back.

    Raises:
        OSError: one of them is there already, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key, public = Ed25519PrivateKey.generate(), path.with_suffix(".pub")
    pems = {
        path: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        public: key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    for file, pem in pems.items():
        mode = 0o600 if file == path else 0o644
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            out.write(pem)
    return public


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 key in PEM, without a password.

    Raises:
        ConfigError: it cannot be read, or is another one.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(read_regular(path, _LONGEST_BYTES), None)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{path}: expected an Ed25519 key, as 'cloud-server sign --new-key' makes"
        )
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """An Ed25519 public key in PEM.

    Raises:
        ConfigError: it cannot be read, or is another one.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(read_regular(path, _LONGEST_BYTES))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: expected an Ed25519 public key")
    return key
