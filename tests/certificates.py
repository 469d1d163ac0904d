"""Authorities, certificates and keys for a test, made by ``openssl``."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(folder: Path, *words: str) -> None:
    """Run it in ``folder``."""
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    """``name.pem`` and ``name.key``, which signs others."""
    openssl(
        folder,
        "req",
        "-x509",
        *_KEY,
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.pem",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    )


def certificate(
    folder: Path, name: str, signer: str, alternative: str = "IP:127.0.0.1", days: int = 2
) -> None:
    """``name.pem`` and ``name.key``, signed by ``signer``; expired where ``days`` is negative."""
    openssl(
        folder,
        "req",
        "-new",
        *_KEY,
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.csr",
        "-subj",
        f"/CN={name}",
    )
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={alternative}\nbasicConstraints=critical,CA:FALSE\n")
    openssl(
        folder,
        "x509",
        "-req",
        "-in",
        f"{name}.csr",
        "-CA",
        f"{signer}.pem",
        "-CAkey",
        f"{signer}.key",
        "-CAcreateserial",
        "-days",
        str(days),
        "-extfile",
        extensions.name,
        "-out",
        f"{name}.pem",
    )
