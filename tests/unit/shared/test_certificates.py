"""Files that TLS cannot use are named at the start, with the setting that named them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from splitfer.shared.certificates import read_certificates
from splitfer.shared.errors import ConfigError
from tests.certificates import authority, certificate, openssl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pem")
    authority(folder, "ca")
    certificate(folder, "edge", "ca")
    certificate(folder, "other", "ca")
    openssl(folder, "pkey", "-in", "edge.key", "-aes256", "-passout", "pass:x", "-out", "enc.key")
    openssl(folder, "x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der")
    openssl(folder, "genrsa", "-out", "rsa.key", "2048")
    (folder / "empty.pem").touch()
    (folder / "text.pem").write_text("not a certificate")
    pem = (folder / "ca.pem").read_text()
    (folder / "cut.pem").write_text(pem[:200] + pem[260:])
    (folder / "cut.key").write_text((folder / "edge.key").read_text().replace("M", "N"))
    (folder / "bundle.pem").write_text(f"# Ärzte für TLS\n{pem}\n# and\n{pem}", "utf-8")
    return folder


@pytest.mark.parametrize(
    ("files", "setting", "what"),
    [
        (("gone.pem", None, None), "server_ca", "No such file"),
        ((".", None, None), "server_ca", "Is a directory"),
        (("empty.pem", None, None), "server_ca", "empty"),
        (("text.pem", None, None), "server_ca", "no certificate in PEM"),
        (("ca.der", None, None), "server_ca", "DER"),
        (("ca.key", None, None), "server_ca", "holds a key"),
        (("cut.pem", None, None), "server_ca", "damaged"),
        (("ca.pem", "gone.pem", "edge.key"), "client_cert", "No such file"),
        (("ca.pem", "edge.key", "edge.key"), "client_cert", "holds a key"),
        (("ca.pem", "edge.pem", "edge.pem"), "client_key", "no private key"),
        (("ca.pem", "edge.pem", "other.key"), "client_key", "is not the key of client_cert"),
        (("ca.pem", "edge.pem", "rsa.key"), "client_key", "is not the key of client_cert"),
        (("ca.pem", "edge.pem", "enc.key"), "client_key", "encrypted"),
        (("ca.pem", "edge.pem", "cut.key"), "client_key", "damaged"),
    ],
)
def test_the_setting_and_the_file_are_named(
    folder: Path, files: tuple[str, str | None, str | None], setting: str, what: str
) -> None:
    paths = [folder / name if name else None for name in files]
    with pytest.raises(ConfigError) as raised:
        read_certificates(*paths)
    message = str(raised.value)
    assert setting in message
    assert what in message
    assert any(str(path) in message for path in paths)
    assert "\n" not in message


def test_a_file_that_may_not_be_read(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "ca.pem"
    secret.write_bytes((folder / "ca.pem").read_bytes())
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("whoever runs this reads everything")
    with pytest.raises(ConfigError, match="server_ca: cannot read"):
        read_certificates(secret, None, None)


def test_a_bundle_with_words_between_and_a_pair_that_fits(folder: Path) -> None:
    read = read_certificates(folder / "bundle.pem", folder / "edge.pem", folder / "edge.key")
    assert read.ca == (folder / "bundle.pem").read_bytes()
    context = read.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


def test_a_pipe_is_read_once(folder: Path, tmp_path: Path) -> None:
    """As in a shell's ``--client-key <(command)``."""
    reading, writing = os.pipe()
    os.write(writing, (folder / "edge.key").read_bytes())
    os.close(writing)
    try:
        pipe = Path(f"/proc/self/fd/{reading}")
        read = read_certificates(folder / "ca.pem", folder / "edge.pem", pipe)
    finally:
        os.close(reading)
    assert read.key == (folder / "edge.key").read_bytes()
