"""``cloud-server models``: what a running server serves, and changes of it, from the shell."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from splitfer.cloud_server.commands.own_server import own_connection
from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.arguments import file_name
from splitfer.shared.bearer_token import token_fault
from splitfer.shared.cause import Cause, Names, came_back, cause_of_error, what_to_do
from splitfer.shared.certificates import read_certificates
from splitfer.shared.errors import (
    AuthError,
    ConfigError,
    LinkError,
    RefusedChange,
    SplitFerError,
    WeightsError,
)
from splitfer.shared.loopback import is_this_machine
from splitfer.shared.peer_words import peer_words
from splitfer.shared.standard_streams import put
from splitfer.shared.wire import ADMIN_MODELS, PREVIOUS

TOKEN_VARIABLE = "SPLITFER_ADMIN_TOKEN"
_URL = "http://127.0.0.1:8080"
# Loading takes seconds, and unloading as long as the longest deadline under way.
_PATIENCE_S = 600.0
_CONNECT_S = 10.0
# A reply names tens of weights, a folder each.
_LONGEST_REPLY_BYTES = 4 * 2**20
_NAMES = Names("--url", "--ca", "--cert", "--key", TOKEN_VARIABLE, "HTTP port (8080)", "HTTP")
_ERRORS: dict[str, type[SplitFerError]] = {"weights": WeightsError, "refused": RefusedChange}
_LONGEST_LINE = 1000
# Certificates to trust; a certificate of the caller's own, and its key.
_Pems = tuple[Path | None, Path | None, Path | None]


def add_models_command(commands: Any) -> None:
    """Add ``models`` to a parser's sub-commands."""
    models = commands.add_parser(
        "models",
        help="list, load, unload and switch the weights of a running server",
        description="Ask a running server which weights it serves, or change them. The token, "
        f"one with the scope admin, comes from {TOKEN_VARIABLE}. Each action prints what is "
        "served afterwards.",
    )
    _add_target(models)
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    models.set_defaults(show_help=models.print_help)
    # What is said of the server may stand behind the action too.
    behind = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_target(behind)
    named = partial(actions.add_parser, parents=[behind])
    named("list", help="weights, their state and the folder they came from")
    load = named("load", help="load a folder; all others are served meanwhile")
    load.add_argument("folder", help="on the server, under one of its weights_root")
    load.add_argument("--default", action="store_true", help="then make it the default")
    unload = named("unload", help="unload weights, once their requests are answered")
    unload.add_argument("fingerprint")
    default = named("default", help="let other weights answer whole pictures")
    default.add_argument("fingerprint")
    named("rollback", help="make the former default the default again")


def _fingerprint(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{16}", text):
        raise ConfigError(
            f"{peer_words(repr(text))} is no fingerprint, which is 16 hex digits; `list` shows them"
        )
    return text


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", help=f"of the server's HTTP, such as {_URL} (as the settings of this machine say)"
    )
    parser.add_argument(
        "--config",
        type=file_name,
        metavar="FILE",
        help="the server's settings, where --url is left out",
    )
    parser.add_argument("--ca", type=file_name, metavar="FILE", help="PEM certificates to trust")
    parser.add_argument("--cert", type=file_name, metavar="FILE", help="PEM shown to the server")
    parser.add_argument("--key", type=file_name, metavar="FILE", help="PEM of --cert's key")
    parser.add_argument(
        "--insecure-token",
        action="store_true",
        help="let the token go to another machine without TLS",
    )
    parser.add_argument("--json", action="store_true", help="print the server's reply as it is")
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run_models(arguments: argparse.Namespace, settings: Callable[[], CloudConfig]) -> None:
    """Run one action and print the reply; without an action the help. ``settings`` are the server's
    on this machine, which is asked where no ``--url`` is given.

    Raises:
        ConfigError: the address or the certificates cannot be used.
        WeightsError: the server could not load the weights.
        SplitFerError: the server refused, or cannot be reached.
    """
    if arguments.action is None:
        arguments.show_help()
        return
    method, path, body = _request(arguments)
    cert, url = arguments.cert, arguments.url
    if url is None and (arguments.ca or cert or arguments.key):
        raise ConfigError("--ca, --cert and --key go with --url")
    if url is None:
        config = settings()
        connection = own_connection(config, _PATIENCE_S, verified=True)
        cert = config.tls_client_ca and (config.health_cert or config.tls_cert)
        url = f"http{'s' if config.tls else ''}://{connection.host}:{connection.port}"
    else:
        connection = _connection(url, (arguments.ca, cert, arguments.key))
        if not arguments.insecure_token:
            _refuse_open_token(connection)
    reply = _ask(connection, url, cert, method, ADMIN_MODELS + path, body)
    if arguments.json:
        put(json.dumps(reply, indent=2))
        return
    try:
        for line in _lines(reply):
            put(line)
    except (KeyError, TypeError, ValueError):
        raise LinkError(
            f"{url} gave 200, and not as this server does; let --url name cloud-server's "
            f"{_NAMES.port}"
        ) from None


def _lines(reply: Any) -> list[str]:
    """A line for each of the weights served, fit for a terminal whatever the server says."""
    lines = []
    for model in reply["models"]:
        tails = ",".join(model["tails"])
        fields = (model["fingerprint"], f"{model['state']:7}", tails, model["folder"])
        lines.append(peer_words("  ".join(fields), longest=_LONGEST_LINE))
    return lines


def _request(arguments: argparse.Namespace) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path and body of an action."""
    action = arguments.action
    if action == "load":
        return "POST", "", {"folder": arguments.folder, "default": arguments.default}
    if action == "unload":
        return "DELETE", "/" + _fingerprint(arguments.fingerprint), None
    if action == "default":
        return "PUT", "/default", {"fingerprint": _fingerprint(arguments.fingerprint)}
    if action == "rollback":
        return "PUT", "/default", {"fingerprint": PREVIOUS}
    return "GET", "", None


def _refuse_open_token(connection: http.client.HTTPConnection) -> None:
    if isinstance(connection, http.client.HTTPSConnection) or not os.environ.get(TOKEN_VARIABLE):
        return
    if not is_this_machine(connection.host):
        raise ConfigError(
            f"--url: the token in {TOKEN_VARIABLE} would go to {connection.host} without TLS, and "
            "whoever is on the way could read it: begin --url with https, or, where a tunnel keeps "
            "it safe, add --insecure-token"
        )


def _ask(
    connection: http.client.HTTPConnection,
    url: str,
    cert: Path | None,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> Any:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token := os.environ.get(TOKEN_VARIABLE):
        if fault := token_fault(token):
            raise ConfigError(f"{TOKEN_VARIABLE}: the token {fault}")
        headers["Authorization"] = f"Bearer {token}"
    # Not urllib's opener: it would send the token through the proxy of the environment.
    try:
        connection.timeout = _CONNECT_S
        connection.connect()
        connection.sock.settimeout(_PATIENCE_S)
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read(_LONGEST_REPLY_BYTES + 1)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise LinkError(_why(url, cert, error)) from error
    finally:
        connection.close()
    if len(text) > _LONGEST_REPLY_BYTES:
        raise LinkError(
            f"{url} gave more than {_LONGEST_REPLY_BYTES} bytes, as this server never "
            f"does; let --url name cloud-server's {_NAMES.port}"
        )
    try:
        reply = json.loads(text)
        if response.status == http.client.OK:
            return reply
        code, message = reply["error"]["code"], reply["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LinkError(
            f"{url} gave {response.status}, and not as this server does; let --url name "
            f"cloud-server's {_NAMES.port}"
        ) from None
    if response.status == http.client.UNAUTHORIZED:  # its words are those for programs
        why = "the server does not know this one" if token else "the server asks for one"
        raise AuthError(f"{TOKEN_VARIABLE}: set it to a token with the scope admin; {why}")
    raise _ERRORS.get(code, SplitFerError)(peer_words(str(message), token, 1000))


def _why(url: str, cert: Path | None, error: Exception) -> str:
    """One line: what came back from ``url``, and what to do. ``cert`` is the caller's own."""
    cause: Cause | None = None
    hung_up = isinstance(error, http.client.RemoteDisconnected)
    if hung_up and url.startswith("https:"):
        # Version 1.3 of TLS lets the client finish before the server looks at its certificate.
        cause = Cause.CERTIFICATE_REFUSED if cert else Cause.CERTIFICATE_WANTED
    elif hung_up:
        cause = Cause.CLOSED
    elif isinstance(error, http.client.HTTPException):  # it answered, and not in HTTP
        cause = Cause.OTHER_PROTOCOL
    elif isinstance(error, OSError):
        cause = cause_of_error(error)
    if cause is None:
        return f"{url} cannot be asked: {peer_words(str(error))}"
    todo = what_to_do(cause, _NAMES)
    if cause in (Cause.CLOSED, Cause.OTHER_PROTOCOL) and url.startswith("http:"):
        todo += "; where it uses TLS, begin --url with https"
    elif cause is Cause.PLAIN_SERVER:
        todo = "begin --url with http, or turn TLS on at the server (tls_cert, tls_key)"
    said = peer_words(str(error))
    return f"{url} cannot be asked: {came_back(cause, _NAMES)} ({said}); {todo}"


def _connection(url: str, pems: _Pems) -> http.client.HTTPConnection:
    ca, cert, key = pems
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"--url: {error}") from error
    if "@" in parts.netloc:
        raise ConfigError(f"--url: leave out user and password; the token is in {TOKEN_VARIABLE}")
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigError(f"--url: {peer_words(repr(url))}: leave out spaces and line breaks")
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/"):
        raise ConfigError(f"--url: {peer_words(repr(url))} is not such as {_URL}")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
    if (cert is None) != (key is None):
        raise ConfigError("--cert and --key go together: set both or none")
    context = read_certificates(ca, cert, key, ("--ca", "--cert", "--key")).context()
    return http.client.HTTPSConnection(host, port, timeout=_PATIENCE_S, context=context)
