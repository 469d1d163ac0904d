"""``edge-client doctor``: looks at everything a run needs, and says for each what to do."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from splitfer.edge_client.appliance.purpose import is_live, stated_purpose
from splitfer.edge_client.commands.health import server_answers
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.settings.state_folder import state_folder
from splitfer.shared.certificates import read_certificates
from splitfer.shared.errors import ConfigError, SplitFerError

_FRAME_S = 10.0
_SERVER_S = 5.0
_BROKER_S = 5.0
_LEAST_FREE_MB = 200
# This program is not older than its release.
_EARLIEST_S = 1_767_225_600  # 2026
_MB = 1_000_000


class Verdict(StrEnum):
    """How one checked thing is."""

    GOOD = "good"
    SKIPPED = "skipped"  # it is not set
    POOR = "poor"  # a run works, but not as well as it could
    BAD = "bad"  # a run would not work, or lose something


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is in words, and what to do where it is not good."""

    name: str
    verdict: Verdict
    words: str
    to_do: str = ""


Look = Callable[[EdgeConfig], Finding]


def findings(config: EdgeConfig) -> Iterator[Finding]:
    """One finding after another; none of them raises."""
    looks: dict[str, Look] = {
        "purpose": _purpose, "camera": _camera, "models": _models, "server": _server,
        "broker": _broker, "webhook": _webhook, "clock": _clock, "disk": _disk,
    }  # fmt: skip
    for name, look in looks.items():
        if name in ("purpose", "camera") and config.cameras:
            for one in config.each_camera():
                yield _found(f"{name} {one.source_name}", look, one)
        else:
            yield _found(name, look, config)


def _found(name: str, look: Look, config: EdgeConfig) -> Finding:
    try:
        return replace(look(config), name=name)
    except SplitFerError as error:
        return Finding(name, Verdict.BAD, str(error))
    except Exception as error:  # whatever it meets, the others are looked at
        return Finding(name, Verdict.BAD, f"unexpected: {type(error).__name__}: {error}")


def _purpose(config: EdgeConfig) -> Finding:
    source = config.source
    may_be_live = source is not None and source.startswith(("http://", "https://"))
    if source is None or not (is_live(source) or may_be_live):
        return Finding("purpose", Verdict.SKIPPED, "no camera is set")
    try:
        words = stated_purpose(config.purpose, source, terminal=io.StringIO())
    except ConfigError:
        if not may_be_live:
            raise
        return Finding(
            "purpose",
            Verdict.POOR,
            "none is stated: where the address is a camera's or a stream's, a run does not start",
            "set purpose",
        )
    return Finding("purpose", Verdict.GOOD, words)


def _camera(config: EdgeConfig) -> Finding:
    from splitfer.edge_client.sources.feed import Feed
    from splitfer.edge_client.sources.open import open_source

    if config.source is None:
        return Finding("camera", Verdict.SKIPPED, "no source is set", "set source")
    with (
        open_source(
            config.source, False, config.picture_pixels, False, config.rtsp_transport
        ) as source,
        Feed(source, source.live) as feed,
    ):
        ender = threading.Timer(_FRAME_S, feed.close)
        ender.daemon = True
        ender.start()
        began_s = time.monotonic()
        try:
            frame = next(feed, None)
        finally:
            ender.cancel()
        if frame is None:
            return Finding(
                "camera",
                Verdict.BAD,
                f"{source.name}: no picture in {_FRAME_S:g} s",
                "look whether another program uses it, and at its cable or address",
            )
        height, width = frame.rgb.shape[:2]
        words = (
            f"{source.name}: {width}x{height}, the first picture after "
            f"{time.monotonic() - began_s:.1f} s"
        )
        if frame.rgb.std() < 2:
            return Finding(
                "camera",
                Verdict.POOR,
                f"{words}, all of one colour",
                "is its lens covered, or the room dark?",
            )
        return Finding("camera", Verdict.GOOD, words)


def _models(config: EdgeConfig) -> Finding:
    from splitfer.edge_client.device import Device
    from splitfer.edge_client.updates.fetched_weights import FetchedWeights

    # Reads every file against its hash, and runs head and tail on the golden input.
    device = Device(FetchedWeights(state_folder() / "weights").looked_at_in(config))
    head, tail = device.head_ms_per_face, device.tail_ms_per_face
    words = (
        f"{device.fingerprint}, {config.local_model}: hashes and golden answers agree; "
        f"{head + tail:.0f} ms a face"
    )
    if head + tail > config.deadline_ms:
        return Finding(
            "models",
            Verdict.POOR,
            words,
            f"the deadline is {config.deadline_ms:g} ms: `edge-client bench` finds one that "
            "this device keeps",
        )
    return Finding("models", Verdict.GOOD, words)


def _server(config: EdgeConfig) -> Finding:
    if config.server is None:
        return Finding("server", Verdict.SKIPPED, "none is set: every answer is local")
    tls = "TLS" if config.server_ca else "no TLS"
    words = f"{server_answers(config, _SERVER_S)} ({tls})"
    return Finding("server", Verdict.GOOD, words)


def _broker(config: EdgeConfig) -> Finding:
    if config.broker is None:
        return Finding("broker", Verdict.SKIPPED, "none is set")
    from splitfer.edge_client.sinks.mqtt_probe import probe

    host, port = config.broker
    pems = read_certificates(
        config.mqtt_ca, config.mqtt_cert, config.mqtt_key, ("mqtt_ca", "mqtt_cert", "mqtt_key")
    )
    password = config.mqtt_password.get_secret_value() if config.mqtt_password else None
    fault = probe(
        host,
        port,
        config.mqtt_user,
        password,
        pems.context() if config.broker_tls else None,
        _BROKER_S,
    )
    if fault is None:
        return Finding("broker", Verdict.GOOD, f"{host}:{port} takes this device")
    return Finding(
        "broker",
        Verdict.BAD,
        f"{host}:{port}: {fault}",
        "is it running and reached from here; are mqtt_user, mqtt_password, mqtt_tls and mqtt_ca "
        "right?",
    )


def _webhook(config: EdgeConfig) -> Finding:
    address = config.webhook_address
    if address is None:
        return Finding("webhook", Verdict.SKIPPED, "none is set")
    pems = read_certificates(config.webhook_ca, None, None, ("webhook_ca", "", ""))
    try:
        with closing(socket.create_connection((address.host, address.port), _SERVER_S)) as plain:
            if address.tls:
                pems.context().wrap_socket(plain, server_hostname=address.host).close()
    except OSError as error:
        return Finding(
            "webhook",
            Verdict.BAD,
            f"{address}: {error.strerror or error}",
            "answers wait in the outbox until it is there",
        )
    return Finding("webhook", Verdict.GOOD, f"{address} is there (nothing was posted)")


def _clock(config: EdgeConfig) -> Finding:
    now_s = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    if now_s < _EARLIEST_S:
        return Finding(
            "clock",
            Verdict.BAD,
            f"it says {shown}",
            "set it: timedatectl set-ntp true; TLS and records need it",
        )
    if _synchronised() is False:
        return Finding(
            "clock",
            Verdict.POOR,
            f"it says {shown}, and is not synchronised",
            "timedatectl set-ntp true",
        )
    return Finding("clock", Verdict.GOOD, f"it says {shown}")


def _synchronised() -> bool | None:
    """Whether systemd says that the clock is synchronised; None where there is no systemd."""
    if not Path("/run/systemd/timesync").is_dir():
        return None
    return Path("/run/systemd/timesync/synchronized").exists()


def _disk(config: EdgeConfig) -> Finding:
    folder = config.outbox.parent if config.outbox else state_folder()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    if not os.access(there, os.W_OK):
        return Finding(
            "disk",
            Verdict.BAD,
            f"{there} cannot be written",
            "let this user write it, or set outbox and audit elsewhere",
        )
    free_mb = shutil.disk_usage(there).free / _MB
    words = f"{folder}: {free_mb:.0f} MB free"
    wanted_mb = _LEAST_FREE_MB + (
        config.outbox_max_mb if config.mqtt_answers or config.webhook else 0
    )
    if free_mb < wanted_mb:
        return Finding("disk", Verdict.POOR, words, f"make room: {wanted_mb:.0f} MB are asked for")
    return Finding("disk", Verdict.GOOD, words)


def as_lines(found: Finding) -> str:
    """The findings as lines for a person."""
    sign = {"good": "ok", "skipped": "--", "poor": "??", "bad": "!!"}[found.verdict.value]
    hint = f"\n          -> {found.to_do}" if found.to_do else ""
    return f"{sign} {found.name:<7} {found.words}{hint}"


def as_record(found: Finding) -> str:
    """A finding as one JSON line, for a program."""
    record: dict[str, Any] = {
        "name": found.name,
        "verdict": found.verdict.value,
        "words": found.words,
        "to_do": found.to_do or None,
    }
    return json.dumps(record)


def worst_is_bad(found: list[Finding]) -> bool:
    """Whether a run would not work."""
    return any(one.verdict is Verdict.BAD for one in found)
