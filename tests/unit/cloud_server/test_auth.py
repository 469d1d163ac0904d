import pytest
from pydantic import SecretStr

from cloud_server.auth import check_bearer
from shared.errors import AuthError

TOKEN = SecretStr("pässword")


@pytest.mark.parametrize("header", ["Bearer pässword", "bearer  pässword "])
def test_the_right_token(header: str) -> None:
    check_bearer(TOKEN, header)


@pytest.mark.parametrize("header", [None, "", "pässword", "Basic pässword", "Bearer ", "Bearer x"])
def test_a_missing_or_wrong_token(header: str | None) -> None:
    with pytest.raises(AuthError) as raised:
        check_bearer(TOKEN, header)
    assert "pässword" not in str(raised.value)


def test_no_token_is_asked_for_where_none_is_configured() -> None:
    check_bearer(None, None)
