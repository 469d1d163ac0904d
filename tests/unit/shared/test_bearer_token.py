"""A token that no header can hold is told so, and never quoted."""

import pytest

from splitfer.shared.bearer_token import token_fault, weak_token_fault


@pytest.mark.parametrize(
    ("token", "named"),
    [
        ("sesame\n", "line break"),
        ("se\r\nsame", "line break"),
        ("ses ame", "space"),
        ("ses\tame", "tab"),
        ("sesamé", "ASCII"),
        ("ses\x00ame", "control"),
        ("ses\x7fame", "control"),
    ],
)
def test_what_is_wrong_is_named(token: str, named: str) -> None:
    fault = token_fault(token)
    assert fault is not None
    assert named in fault
    assert token.strip() not in fault


def test_any_printable_ascii_will_do() -> None:
    assert token_fault("".join(map(chr, range(0x21, 0x7F)))) is None


@pytest.mark.parametrize(
    ("token", "named"),
    [
        ("**********", "shorter than 16"),
        ("a" * 64, "one character"),
        ("sesame open sesame", "space"),
    ],
)
def test_what_a_server_refuses(token: str, named: str) -> None:
    fault = weak_token_fault(token)
    assert fault is not None
    assert named in fault
    assert token not in fault


def test_a_token_of_16_characters_will_do() -> None:
    assert weak_token_fault("0123456789abcdef") is None
