"""A token that no header can hold is told so, and never quoted."""

import pytest

from shared.bearer_token import token_fault


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
