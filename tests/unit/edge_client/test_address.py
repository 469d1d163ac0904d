"""The form of the server's address: what cannot work ends the start and says what would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.address import Address, parse_address
from splitfer.edge_client.config import load_config
from splitfer.shared.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("cloud.example:50051", Address("cloud.example", 50051)),
        ("cloud.example.:1", Address("cloud.example.", 1)),
        ("my_service:65535", Address("my_service", 65535)),
        ("192.0.2.7:50051", Address("192.0.2.7", 50051)),
        ("[2001:db8::1]:50051", Address("2001:db8::1", 50051)),
        ("[fe80::1%eth0]:50051", Address("fe80::1%eth0", 50051)),
    ],
)
def test_what_can_work(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://cloud.example:8080/v1", "write cloud.example:8080"),
        ("https://cloud.example", "not a URL"),
        ("dns:///cloud.example:50051", "not a URL"),
        ("cloud.example:50051/v1", "write cloud.example:50051"),
        ("http://[::1]:8080", r"write \[::1\]:8080"),
        ("cloud.example", "the port is missing"),
        ("[::1]", "the port is missing"),
        ("", "the port is missing"),
        ("cloud.example:", "from 1 to 65535"),
        ("cloud.example:grpc", "from 1 to 65535"),
        ("cloud.example:²", "from 1 to 65535"),
        ("cloud.example:0", "from 1 to 65535"),
        ("cloud.example:65536", "from 1 to 65535"),
        (f"cloud.example:{'9' * 5000}", "from 1 to 65535"),
        (":50051", "the host is missing"),
        ("::1:50051", "brackets"),
        ("2001:db8::1", "brackets"),
        ("[::g]:50051", "IPv6"),
        ("cloud.example:50051\n", "line breaks"),
        ("cloud example:50051", "spaces"),
        ("wölke.example:50051", "ASCII"),
        ("a..b:50051", "no name"),
        (f"{'a' * 64}:50051", "no name"),
        ("256.0.0.1:50051", "IPv4"),
    ],
)
def test_what_cannot_is_one_line_that_names_the_setting(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        load_config(None, {"server": text})
    message = str(raised.value)
    assert message.startswith("--server: ")
    assert "expected host:port" in message
    assert message.isprintable()
    assert len(message) < 250


@pytest.mark.parametrize("text", ["http://me:sesame@cloud:1", "me:sesame@cloud:1", "me@sesame"])
def test_a_password_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(None, {"server": text})
    assert "sesame" not in str(raised.value)


@given(st.text() | st.from_regex(r"[\[\]a-f0-9:.@/%]*:[0-9]*"))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address
