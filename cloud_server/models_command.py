"""``cloud-server models``: what a running server serves, and changes of it, from the shell."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from shared.errors import ConfigError, LinkError, RefusedChange, SplitFerError, WeightsError

TOKEN_VARIABLE = "SPLITFER_ADMIN_TOKEN"
MODELS = "/v1/admin/models"
_URL = "http://127.0.0.1:8080"
# Loading takes seconds, and unloading as long as the longest deadline under way.
_PATIENCE_S = 600.0
_ERRORS: dict[str, type[SplitFerError]] = {"weights": WeightsError, "refused": RefusedChange}
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
    models.add_argument("--url", default=_URL, help=f"of the server's HTTP ({_URL})")
    models.add_argument("--ca", type=Path, metavar="FILE", help="PEM certificates to trust")
    models.add_argument("--cert", type=Path, metavar="FILE", help="PEM shown to the server")
    models.add_argument("--key", type=Path, metavar="FILE", help="PEM of --cert's key")
    models.add_argument("--json", action="store_true", help="print the server's reply as it is")
    models.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="weights, their state and the folder they came from")
    load = actions.add_parser("load", help="load a folder; all others are served meanwhile")
    load.add_argument("folder", help="on the server, under one of its weights_root")
    load.add_argument("--default", action="store_true", help="then make it the default")
    unload = actions.add_parser("unload", help="unload weights, once their requests are answered")
    unload.add_argument("fingerprint")
    default = actions.add_parser("default", help="let other weights answer whole pictures")
    default.add_argument("fingerprint")
    actions.add_parser("rollback", help="make the former default the default again")


def run_models(arguments: argparse.Namespace) -> None:
    """Run one action and print the reply.

    Raises:
        ConfigError: the address or the certificates cannot be used.
        WeightsError: the server could not load the weights.
        SplitFerError: the server refused, or cannot be reached.
    """
    method, path, body = _request(arguments)
    pems = (arguments.ca, arguments.cert, arguments.key)
    reply = _ask(arguments.url, pems, method, MODELS + path, body)
    if arguments.json:
        json.dump(reply, sys.stdout, indent=2)
        print()
        return
    for model in reply["models"]:
        tails = ",".join(model["tails"])
        fields = (model["fingerprint"], f"{model['state']:7}", tails, model["folder"])
        print("  ".join(fields))


def _request(arguments: argparse.Namespace) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path and body of an action."""
    action = arguments.action
    if action == "load":
        return "POST", "", {"folder": arguments.folder, "default": arguments.default}
    if action == "unload":
        return "DELETE", "/" + quote(arguments.fingerprint, safe=""), None
    if action == "default":
        return "PUT", "/default", {"fingerprint": arguments.fingerprint}
    if action == "rollback":
        return "PUT", "/default", {"fingerprint": "previous"}
    return "GET", "", None


def _ask(url: str, pems: _Pems, method: str, path: str, body: dict[str, Any] | None) -> Any:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    # Not urllib's opener: it would send the token through the proxy of the environment.
    connection = _connection(url, pems)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise LinkError(f"{url} cannot be asked: {error}") from error
    finally:
        connection.close()
    try:
        reply = json.loads(text)
        if response.status == http.client.OK:
            return reply
        code, message = reply["error"]["code"], reply["error"]["message"]
    except (ValueError, KeyError, TypeError):
        raise LinkError(f"{url} gave {response.status}, and not as this server does") from None
    raise _ERRORS.get(code, SplitFerError)(message)


def _connection(url: str, pems: _Pems) -> http.client.HTTPConnection:
    ca, cert, key = pems
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"--url: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/"):
        raise ConfigError(f"--url: {url!r} is not such as {_URL}")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise ConfigError(f"--ca, --cert, --key: {error}") from error
    return http.client.HTTPSConnection(host, port, timeout=_PATIENCE_S, context=context)
