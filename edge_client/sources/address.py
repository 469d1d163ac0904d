"""Addresses of streams: what FFmpeg is given, and what is shown of them."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from splitfer.shared.errors import SourceError

_AUTHORITY_ENDS = re.compile(r"[/?#]")
# Cameras are asked for as .../user=admin&password=1234 and .../user=admin_password=1234_channel=1.
_SECRET = re.compile(
    r"(?i)(?<![a-z])(user(?:name)?|login|pass(?:word|wd|phrase)?|pwd|psw|secret|[a-z]*token|"
    r"(?:api|access)?[_-]?key|auth|sig(?:nature)?)=[^/&;]*"
)


def shown(address: str) -> str:
    """An address fit for logs and answers: no user, no password, no query, and nothing of the path
    that is called a password. For any text."""
    scheme, mark, rest = address.partition("://")
    # A password may hold a slash that ought to have been written %2F.
    rest = rest.rpartition("@")[2]
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    return scheme + mark + _SECRET.sub(r"\1=***", rest)


def for_ffmpeg(address: str) -> str:
    """The same address with what a password must not hold written as %2F and the like.

    Raises:
        SourceError: there is no host in it.
    """
    scheme, mark, rest = address.partition("://")
    authority = _AUTHORITY_ENDS.split(rest, maxsplit=1)[0]
    user, colon, _ = authority.partition(":")
    if "@" in authority:
        user_and_password, _, rest = rest.rpartition("@") if _is_one(rest) else rest.partition("@")
    elif "@" in rest and colon and user:
        # rtsp://me:pa/ss@camera/: what follows the colon is no port.
        user_and_password, _, rest = rest.rpartition("@")
    else:
        user_and_password = ""
    if user_and_password:
        name, colon, password = user_and_password.partition(":")
        user_and_password = quote(name, "%") + colon + quote(password, "%!$&'()*+,;=:~") + "@"
    written = scheme + mark + user_and_password + rest
    try:
        host = urlsplit(f"{scheme}{mark}{rest}").hostname
    except ValueError:
        host = None
    if not host:
        raise SourceError(
            f"{shown(address)}: there is no host in it; write scheme://user:password@host:port/path"
        )
    return written


def _is_one(rest: str) -> bool:
    """Whether the last @ ends the password: it stands before the path."""
    return not _AUTHORITY_ENDS.search(rest[: rest.rindex("@")])
