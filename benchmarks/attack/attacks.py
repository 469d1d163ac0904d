"""Every attack by its name: who attacks, and what it is called on the page."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from benchmarks.attack import attackers as by
from benchmarks.attack import crowds, flooders
from benchmarks.attack import messages as of
from benchmarks.attack.attackers import Attacker
from splitfer.shared.wire import FINGERPRINT_HEADER


@dataclass(frozen=True)
class Attack:
    """``tls``: the server speaks TLS."""

    title: str
    attacker: Attacker
    tls: bool = False


ATTACKS = {
    "strangers_messages": Attack(
        "messages of 4 million fields, by a stranger",
        by.calls(of.MODEL_INFER, of.EMPTY_INPUT * of.MANY_FIELDS, known=False),
    ),
    "packed_messages": Attack(
        "the same packed with gzip: 7 KiB",
        by.calls(
            of.MODEL_INFER, of.EMPTY_INPUT * of.MANY_FIELDS, known=False,
            compression=grpc.Compression.Gzip,
        ),
    ),
    "many_fields": Attack(
        "messages of 3 million fields, with a token",
        by.calls(of.MODEL_INFER, of.EMPTY_OUTPUT * (3 * 2**20), known=True),
    ),
    "many_tensors": Attack(
        "gzip of JSON of 600,000 inputs, with a token",
        by.posts(of.TENSOR_ROUTE, of.many_tensors, of.GZIPPED, known=True),
    ),
    "empty_payloads": Attack(
        "bodies of 131,000 empty payloads, with a token",
        by.posts("/v1/latents", of.empty_payloads, {FINGERPRINT_HEADER: "x"}, known=True),
    ),
    "operators_wish": Attack(
        "8 MB of JSON to the admin route, by a stranger",
        by.posts(
            "/v1/admin/models", of.operators_wish, {"Content-Type": "application/json"}, known=False
        ),
    ),
    "small_chunks": Attack("chunks of one byte after a refusal", by.small_chunks),
    "watches": Attack("health watches of 8 MB names, and unread ones", by.watches),
    "reflection": Attack("40 silent reflection streams, with a token", by.reflections),
    "many_scans": Attack(
        "a progressive JPEG of 1,100 scans, 16 at once, with a token",
        by.posts("/v1/faces", of.many_scans, {}, known=True, at_once=16),
    ),
    "large_pictures": Attack(
        "JPEGs of 4000x4000 px, 16 at once, with a token",
        by.posts("/v1/faces", of.large_picture, {}, known=True, at_once=16),
    ),
    "short_deadlines": Attack(
        "calls of 32 faces within 500 ms, 16 at once, with a token", by.faces(32, 500, 16)
    ),
    "long_deadlines": Attack(
        "calls of 32 faces within 20 s, 16 at once, with a token", by.faces(32, 20_000, 16)
    ),
    "stalled_bodies": Attack("300 bodies of 8 MiB without their last byte", by.stalled_bodies),
    "unread_pages": Attack("500 readers of pages that take nothing", by.unread_pages),
    "small_frames": Attack(
        "messages of no face on 4 WebSockets, with a token", flooders.small_frames
    ),
    "garbled_frames": Attack(
        "messages of a garbled face on 4 WebSockets, with a token", flooders.garbled_frames
    ),
    "garbled_streams": Attack(
        "messages of 32 garbled faces on 4 gRPC streams, with a token",
        flooders.garbled_streams(of.unreadable_payload(), 32),
    ),
    "unreadable_streams": Attack(
        "messages of a face on 4 gRPC streams that are no face's once they are read, with a token",
        flooders.garbled_streams(of.unreadable_payload(whole=True), 1),
    ),
    "unfinished_sockets": Attack(
        "256 WebSockets, messages of 250 kB without their last byte", by.unfinished_sockets
    ),
    "unfinished_streams": Attack(
        "4,000 gRPC streams, messages of 250 kB without their last byte", by.unfinished_streams
    ),
    "idle_connections": Attack("4,500 idle gRPC connections", by.idle_connections),
    "silent_connections": Attack(
        "2,500 silent connections to a port of TLS", by.silent_connections, tls=True
    ),
    "late_frames": Attack(
        "messages of a face that has 1 ms, on 4 WebSockets, with a token", crowds.late_frames
    ),
    "crowd_of_calls": Attack(
        "400 calls of a face at once, on 4 connections, with a token", crowds.calls(4, known=True)
    ),
    "late_calls": Attack(
        "the same of calls that have 1 ms", crowds.calls(4, known=True, timeout_s=0.001)
    ),
    "crowd_of_strangers": Attack(
        "400 strangers' calls at once, on 4 connections", crowds.calls(4, known=False)
    ),
    "pipelined": Attack("requests without a token, pipelined", crowds.requests("/v1/model")),
    "new_connections": Attack(
        "requests without a token, each on a new connection, 32 at once",
        crowds.new_connections("/v1/model"),
    ),
    "new_probes": Attack(
        "probes, each on a new connection, 32 at once", crowds.new_connections("/healthz")
    ),
    "hasty": Attack("1,000 probes a second that hang up before the reply", crowds.hasty()),
    "unread_probes": Attack(
        "10,000 probes on each of 300 connections, unread", crowds.unread_probes
    ),
    "strangers_calls": Attack("1,800 strangers' calls a second, one connection", by.strangers()),
}  # fmt: skip
