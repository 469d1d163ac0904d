"""Certificates and keys from files, checked before anything connects with them."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from splitfer.shared.errors import ConfigError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# OpenSSL's reasons for a key that is sound, and not this certificate's.
_OF_ANOTHER = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
# More is no certificate, and may be a device that never ends.
_LONGEST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Certificates:
    """PEM: certificates to trust; where the server asks for them, one of our own and its key.

    ``context`` makes the same trust for Python's ``ssl``.
    """

    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None

    def context(self) -> ssl.SSLContext:
        """A client's context. Without ``ca`` it trusts what the system trusts.

        Raises:
            ssl.SSLError: they do not go together; ``read_certificates`` has checked that.
        """
        if self.ca is None:
            context = ssl.create_default_context()
        else:
            context = ssl.create_default_context(cadata=_trusted(self.ca))
        # Python 3.13 and later refuse certificates for what they lack in form; gRPC does not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.cert is not None and self.key is not None:
            _load_chain(context, self.cert, self.key)
        return context

    def server_context(self) -> ssl.SSLContext:
        """A server's context, which shows ``cert``; where ``ca`` is given, callers must show one
        that it signed.

        Raises:
            ssl.SSLError: they do not go together; ``read_certificates`` has checked that.
        """
        assert self.cert is not None
        assert self.key is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with _as_file(self.cert) as cert_file, _as_file(self.key) as key_file:
            context.load_cert_chain(cert_file, key_file)
        if self.ca is not None:
            context.load_verify_locations(cadata=_trusted(self.ca))
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def read_certificates(
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    names: tuple[str, str, str] = ("server_ca", "client_cert", "client_key"),
) -> Certificates:
    """What the files hold; ``names`` are the settings that named them.

    Raises:
        ConfigError: a file is missing, cannot be read, is not PEM of its kind, or the key is not
            the certificate's. Names the setting and the file.
    """
    ca_name, cert_name, key_name = names
    ca_pem, cert_pem, key_pem = (
        _read(path, name) for path, name in zip((ca, cert, key), names, strict=True)
    )
    if ca_pem is not None:
        try:
            ssl.create_default_context(cadata=_trusted(ca_pem))
        except ValueError as error:  # ssl.SSLError is not one, but an OSError
            raise ConfigError(f"{ca_name}: {ca} {error}") from error
        except ssl.SSLError as error:
            raise ConfigError(f"{ca_name}: {ca} is damaged ({error.reason})") from error
    if cert_pem is not None and key_pem is not None:
        if not _CERTIFICATE.search(cert_pem):
            raise ConfigError(f"{cert_name}: {cert} {_holds_no_certificate(cert_pem)}")
        if b" PRIVATE KEY-----" not in key_pem:
            raise ConfigError(f"{key_name}: {key} holds no private key in PEM")
        try:
            _load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert_pem, key_pem)
        except _EncryptedKey:
            raise ConfigError(
                f"{key_name}: {key} is encrypted, and nobody is there to type its passphrase; "
                f"write it without one (openssl pkey -in {key} -out ...)"
            ) from None
        except ssl.SSLError as error:
            if error.reason in _OF_ANOTHER:
                raise ConfigError(
                    f"{key_name}: {key} is not the key of {cert_name}, {cert}"
                ) from error
            raise ConfigError(
                f"{cert_name}, {key_name}: {cert} or {key} is damaged ({error.reason or error})"
            ) from error
    return Certificates(ca_pem, cert_pem, key_pem)


class _EncryptedKey(Exception):
    pass


def _read(path: Path | None, name: str) -> bytes | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_BYTES)
    except OSError as error:
        raise ConfigError(f"{name}: cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a null character in its name
        raise ConfigError(f"{name}: {str(path)!r} is no file name: {error}") from error
    return data


def _trusted(pem: bytes) -> str:
    """The certificates of ``pem`` without the words between them, which need not be ASCII."""
    found = _CERTIFICATE.findall(pem)
    if not found:
        raise ValueError(_holds_no_certificate(pem))
    try:
        return b"\n".join(found).decode("ascii") + "\n"
    except UnicodeDecodeError:
        raise ValueError("is damaged (a certificate in PEM is ASCII)") from None


def _holds_no_certificate(pem: bytes) -> str:
    if not pem:
        return "is empty"
    if b" PRIVATE KEY-----" in pem:
        return "holds a key, and no certificate"
    if pem[:1] == b"\x30":
        return "holds no certificate in PEM (DER? openssl x509 -inform DER -in ... -out ...)"
    return "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"


def _load_chain(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    def passphrase() -> str:  # else OpenSSL would ask the terminal
        raise _EncryptedKey

    # How strong a key has to be is for the server to say.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with _as_file(cert) as cert_file, _as_file(key) as key_file:
        context.load_cert_chain(cert_file, key_file, passphrase)


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A name for what was read: the file's own may be a pipe, which can be read only once."""
    number = os.memfd_create("pem")
    try:
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(data)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
