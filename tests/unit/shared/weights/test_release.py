from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from splitfer.shared.errors import ConfigError, WeightsError
from splitfer.shared.weights.release import (
    MOST_RELEASES,
    RELEASE_FILE,
    Release,
    check_signature,
    new_key,
    read_private_key,
    read_public_key,
    read_release,
    sign,
    write_release,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@given(st.binary(max_size=300), st.integers(1, MOST_RELEASES), st.data())
def test_nothing_of_what_was_signed_can_be_changed(
    manifest: bytes, number: int, data: st.DataObject
) -> None:
    release = sign(manifest, number, KEY)
    check_signature(manifest, release, KEY.public_key())
    other_manifest = data.draw(st.binary(max_size=300).filter(lambda one: one != manifest))
    other_number = data.draw(st.integers(-1, MOST_RELEASES + 1).filter(lambda n: n != number))
    place = data.draw(st.integers(0, 63))
    flipped = bytearray(release.signature)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for bytes_, other in (
        (other_manifest, release),
        (manifest, Release(other_number, release.signature)),
        (manifest, Release(number, bytes(flipped))),
        (manifest, Release(number, release.signature[:-1])),
        (manifest, Release(number, b"")),
    ):
        with pytest.raises(WeightsError, match="signature"):
            check_signature(bytes_, other, KEY.public_key())


def test_another_key_is_not_the_publishers() -> None:
    release = sign(b"manifest", 1, KEY)
    with pytest.raises(WeightsError, match="signature"):
        check_signature(b"manifest", release, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize("number", [0, -1, MOST_RELEASES + 1])
def test_a_number_that_is_none_is_not_signed(number: int) -> None:
    with pytest.raises(ConfigError, match="number"):
        sign(b"manifest", number, KEY)


def test_it_is_kept_beside_the_manifest(tmp_path: Path) -> None:
    assert read_release(tmp_path) is None
    release = sign(b"manifest", 7, KEY)
    write_release(tmp_path, release)
    assert read_release(tmp_path) == release


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", '{"release": 1}', '{"release": "1", "signature": "00"}',
        '{"release": 1, "signature": "zz"}', '{"release": 1.5, "signature": "' + "00" * 64 + '"}',
        '{"release": true, "signature": "' + "00" * 64 + '"}', "[" * 3000, " " * 5000,
    ],
)  # fmt: skip
def test_what_is_no_release_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / RELEASE_FILE).write_text(text)
    with pytest.raises(WeightsError, match="no release"):
        read_release(tmp_path)


def test_a_key_is_made_once_and_read_again(tmp_path: Path) -> None:
    private = tmp_path / "publisher.pem"
    public = new_key(private)
    assert private.stat().st_mode & 0o077 == 0
    release = sign(b"manifest", 3, read_private_key(private))
    check_signature(b"manifest", release, read_public_key(public))
    with pytest.raises(FileExistsError):
        new_key(private)


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    for text in (
        b"no key",
        X25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ):
        file.write_bytes(text)
        with pytest.raises(ConfigError, match=r"key\.pem"):
            read_public_key(file)
        with pytest.raises(ConfigError, match=r"key\.pem"):
            read_private_key(file)
    with pytest.raises(ConfigError, match="No such file"):
        read_public_key(tmp_path / "gone.pem")
