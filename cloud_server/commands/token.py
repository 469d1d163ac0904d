"""``cloud-server token``: make bearer tokens."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from splitfer.cloud_server.admission.tokens import Scope, new_token, token_line
from splitfer.shared.standard_streams import put


def add_token_command(commands: Any) -> None:
    """Add ``token`` to a parser's sub-commands."""
    token = commands.add_parser("token", help="make a bearer token")
    actions = token.add_subparsers(dest="action", required=True, metavar="new")
    new = actions.add_parser(
        "new",
        help="make one",
        description="Print a new token, then the line for the tokens file. The token itself is "
        "kept nowhere: give it to its owner now.",
    )
    new.add_argument("name", metavar="NAME", help="of its owner, in logs and limits")
    new.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=[scope.value for scope in Scope],
        help="what it is good for: latents, whole pictures, the server's weights, its metrics; "
        "again for more",
    )
    new.add_argument("--toml", action="store_true", help="a line of TOML instead of YAML")
    new.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run_token(arguments: argparse.Namespace) -> None:
    """Run it.

    Raises:
        ConfigError: the name does not fit.
    """
    token = new_token()
    line = token_line(arguments.name, token, map(Scope, set(arguments.scope)), arguments.toml)
    put(token)
    put(line)
    print("The first line is the token, the second is for the tokens file.", file=sys.stderr)
