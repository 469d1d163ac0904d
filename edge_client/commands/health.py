"""``edge-client health``: whether a run on this device works, or its server can be used."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from splitfer.edge_client.address import parse_address
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.link.call_cause import VAGUE, cause_of_call, plain_words
from splitfer.edge_client.link.channel import open_channel
from splitfer.edge_client.link.diagnosis import diagnose
from splitfer.edge_client.quiet_grpc import grpc
from splitfer.edge_client.sinks.health_note import Noted, read_note
from splitfer.edge_client.sinks.run_status import Health
from splitfer.shared.cause import Names, came_back, what_to_do
from splitfer.shared.certificates import read_certificates
from splitfer.shared.errors import ConfigError, LinkError, SourceError
from splitfer.shared.peer_words import peer_words
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import SplitFerStub
from splitfer.shared.wire import AUTHORIZATION, CODE_KEY

_PROCESSES = Path("/proc")
_NAMES = ("edge-client", "splitfer.edge_client.cli", "edge_client/cli.py")
_LOOK_EVERY_S = 0.25
_WORDS = {
    Health.STARTING: "starting",
    Health.PAUSED: "paused",
    Health.NO_PICTURE: "no picture comes",
    Health.WAITING: "waiting for the camera",
    Health.OUTPUT_FAILING: "an output cannot be written",
    Health.SERVER_AWAY: "working; the server cannot be used",
    Health.OK: "working",
}
# What listens on every address is asked on this machine's own.
_THIS_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_LONGEST_REPORT_BYTES = 1 << 20
# Of /proc/N/stat after the name: the ticks spent in the program, and in the kernel for it.
_TICKS = slice(11, 13)


def run_works(pid: int, within_s: float) -> str:
    """A line about the run that is process ``pid``, as it notes how it is; where it notes nothing,
    whether frames keep its processor busy.

    Raises:
        ConfigError: there is no such process, or it is no run.
        SourceError: something needs to be mended, or it said nothing and used no processor for
            ``within_s``.
    """
    process = _PROCESSES / str(pid)
    try:
        words = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
        if not any(word.endswith(_NAMES) for word in words):
            raise ConfigError(f"--pid: process {pid} is no 'edge-client run'")
        before, begun_s = _ticks(process), time.monotonic()
        tick = threading.Event()
        while time.monotonic() < begun_s + within_s:
            note = read_note(process)
            if note is not None and note.at_s > begun_s:
                return _noted(pid, note)
            if note is None and _ticks(process) != before:
                return "working"
            tick.wait(_LOOK_EVERY_S)
        if _ticks(process) != before:
            return "working on one frame for long"
    except OSError as error:
        raise ConfigError(f"--pid: there is no process {pid} ({error.strerror})") from error
    raise SourceError(
        f"process {pid} used no processor for {within_s:g} s: it hangs, or no picture comes"
    )


def _noted(pid: int, note: Noted) -> str:
    why = f": {note.words}" if note.words else ""
    if not note.health.serves:
        raise SourceError(f"process {pid} runs, but {_WORDS[note.health]}{why}")
    return _WORDS[note.health] + why


def run_says(config: EdgeConfig, timeout_s: float) -> str:
    """A line about the run that listens where ``config`` says: how it is, in its own words.

    Raises:
        ConfigError: the settings name no address, or the run wants another token.
        SourceError: it does not answer, or something needs to be mended; says what.
    """
    address = config.listen_address
    if address is None:
        raise ConfigError(
            "name a server (--server host:port), or a run of this device: its "
            "address (listen in the config file) or its process (--pid)"
        )
    host = _THIS_MACHINE.get(address.host, address.host)
    token = config.listen_token.get_secret_value() if config.listen_token else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    caller = http.client.HTTPConnection(host, address.port, timeout=timeout_s)
    try:
        caller.request("GET", "/healthz", headers=headers)
        reply = caller.getresponse()
        report = json.loads(reply.read(_LONGEST_REPORT_BYTES))
        health = str(report["health"])
    except OSError as error:
        raise SourceError(f"no run answers on {address}: {error.strerror or error}") from error
    except (http.client.HTTPException, ValueError, TypeError, KeyError) as error:
        raise SourceError(f"{address}: what answers there is no run of this program") from error
    finally:
        caller.close()
    why = report.get("waiting_for" if health == Health.WAITING.value else "failing")
    words = peer_words(f"{health}: {why}" if why else health, token)
    if reply.status != http.client.OK:
        raise SourceError(f"the run on {address} says {words}")
    return words


def server_answers(config: EdgeConfig, timeout_s: float) -> str:
    """A line about the server that ``config`` names: it knows this device and answers.

    Raises:
        ConfigError: no server is named, or a certificate cannot be used.
        LinkError: it cannot be used; says why and what to do.
    """
    if config.server is None:
        raise ConfigError("name a server: --server host:port")
    address = parse_address(config.server)
    pems = read_certificates(config.server_ca, config.client_cert, config.client_key)
    token = config.token.get_secret_value() if config.token else None
    metadata = ((AUTHORIZATION, f"Bearer {token}"),) if token else ()
    with open_channel(str(address), pems.ca, pems.cert, pems.key) as channel:
        try:
            stub = SplitFerStub(channel)  # type: ignore[no-untyped-call]  # generated
            model = stub.GetModel(pb.GetModelRequest(), timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            trailing: Any = error.trailing_metadata() or ()
            code = next((str(value) for key, value in trailing if key == CODE_KEY), None)
            details = error.details() or ""
            cause = cause_of_call(error.code(), details, code)
            if cause in VAGUE:
                cause = diagnose(address, pems, timeout_s) or cause
            said = peer_words(plain_words(details), token)
            names = Names()
            raise LinkError(
                f"the server {address} cannot be used: {came_back(cause, names)} ({said}); "
                f"{what_to_do(cause, names)}"
            ) from error
    return f"the server {address} answers, with weights {peer_words(model.fingerprint)}"


def _ticks(process: Path) -> list[str]:
    return (process / "stat").read_text().rpartition(")")[2].split()[_TICKS]
