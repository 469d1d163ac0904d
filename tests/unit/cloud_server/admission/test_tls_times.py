"""Certificates that are out of their time: said, and never put in the place of a good one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from splitfer.cloud_server.admission.access import Access
from splitfer.cloud_server.admission.tls import ServerTls
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.server.reload import reload

Make = Callable[[float, float], CloudConfig]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Settings whose certificate is valid from so many days on, to so many."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud")])

    def make(begin_days: float, end_days: float) -> CloudConfig:
        now = datetime.now(UTC)
        cert = (
            x509.CertificateBuilder(name, name, key.public_key(), 7)
            .not_valid_before(now + timedelta(days=begin_days))
            .not_valid_after(now + timedelta(days=end_days))
            .sign(key, hashes.SHA256())
        )
        (tmp_path / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        return CloudConfig(tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")

    return make


@pytest.mark.parametrize(
    ("begin_days", "end_days", "why"),
    [(-400, -35, "expired 35 days ago"), (2, 300, "is not valid before ")],
)
def test_a_reload_leaves_a_good_certificate_in_force(
    made: Make, caplog: pytest.LogCaptureFixture, begin_days: float, end_days: float, why: str
) -> None:
    caplog.set_level(logging.INFO)
    config = made(-1, 60)
    tls = ServerTls(config)
    reload(config, Access(config), tls, lambda: made(begin_days, end_days))
    assert f"nothing was reloaded: tls_cert: the new certificate {why}" in caplog.text
    assert 59 < tls.days_left()["tls_cert"] <= 60


def test_one_out_of_its_time_stays_until_there_is_a_better_one(
    made: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = made(2, 300)
    tls = ServerTls(config)
    tls.warn()
    assert "tls_cert is not valid before" in caplog.text
    # Tokens can be reloaded meanwhile.
    reload(config, Access(config), tls, lambda: made(-400, -35))
    assert "nothing was reloaded" not in caplog.text
    assert "tls_cert expired 35 days ago: callers refuse it" in caplog.text
    reload(config, Access(config), tls, lambda: made(-1, 60))
    assert "reloaded tls_cert; it is good for 60 days" in caplog.text
