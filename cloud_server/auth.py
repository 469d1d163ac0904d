"""Who may ask: a bearer token, where one is configured."""

from __future__ import annotations

import hmac

from pydantic import SecretStr

from shared.errors import AuthError

_SCHEME = "bearer "


def check_bearer(token: SecretStr | None, header: str | None) -> None:
    """Compare an ``Authorization`` header with the configured token, in constant time.

    Raises:
        AuthError: a token is configured and the header does not hold it.
    """
    if token is None:
        return
    if header is None or not header.lower().startswith(_SCHEME):
        raise AuthError("send the header 'Authorization: Bearer <token>'")
    given = header[len(_SCHEME) :].strip()
    if not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
        raise AuthError("the token is not the one that this server knows")
