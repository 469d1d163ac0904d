"""What this machine lets a server hold: connections by its descriptors, bytes by its memory."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import ConfigError

log = logging.getLogger(__name__)
MIB = 2**20
# For weights, decoders, the log, and connections that are being refused.
_OWN_FILES = 128
# Resident without any caller, decoders and what allocators keep counted in; measured by
# `make attack`.
IDLE_BYTES = 640 * MIB
# Of a picture in all its forms, in its decoder and here: coefficients, pixels and their copies.
PICTURE_BYTES_A_PIXEL = 16
# More than this waits for its turn rather than for memory.
_MOST_BUDGET_BYTES = 512 * MIB
# Of these, and a body is held twice: beside a caller that takes its share, which is half, another
# one's share is half of the rest.
_LEAST_BODIES = 8


@dataclass(frozen=True)
class Bounds:
    """Connections open at once on each port; the bytes of bodies and messages, whole or not, and
    how many of them may be held for as long as a caller likes; and those of pictures as they
    unpack, which end by themselves and wait for nothing but each other."""

    http_connections: int
    grpc_connections: int
    received_bytes: int
    standing_bytes: int
    picture_bytes: int


def bounds_of(config: CloudConfig, open_files: int, memory_bytes: int) -> Bounds:
    """The settings' bounds, where a process with so many descriptors and so much memory can keep
    them; else what it can, and a line in the log.

    Raises:
        ConfigError: ``in_flight_bytes`` does not hold the largest picture that is read.
    """
    http, grpc = config.connections_max, config.grpc_connections_max
    there = max(2, open_files - _OWN_FILES)
    if http + grpc > there:
        wanted = http + grpc
        http, grpc = max(1, http * there // wanted), max(1, grpc * there // wanted)
        log.warning(
            "%d descriptors (ulimit -n) are enough for %d HTTP and %d gRPC connections, not for %d "
            "and %d",
            open_files,
            http,
            grpc,
            config.connections_max,
            config.grpc_connections_max,
        )
    in_flight_bytes = _in_flight_bytes(config, memory_bytes)
    largest = PICTURE_BYTES_A_PIXEL * config.limits.picture_pixels
    # Usual pictures find room beside the largest one, unless memory is so short.
    received_bytes = max(
        _LEAST_BODIES * config.limits.body_bytes,
        min(in_flight_bytes * 3 // 8, in_flight_bytes - largest * 9 // 8),
    )
    return Bounds(
        http, grpc, received_bytes, received_bytes * 3 // 4, in_flight_bytes - received_bytes
    )


def least_in_flight_bytes(limits: Limits) -> int:
    """Bytes that the largest allowed picture takes, and bodies beside it."""
    return PICTURE_BYTES_A_PIXEL * limits.picture_pixels + _LEAST_BODIES * limits.body_bytes


def memory_wanted_bytes(config: CloudConfig) -> int:
    """The least limit of memory (a pod's, a container's) under which these settings hold."""
    return IDLE_BYTES + max(config.in_flight_bytes, least_in_flight_bytes(config.limits))


def _in_flight_bytes(config: CloudConfig, memory_bytes: int) -> int:
    least = least_in_flight_bytes(config.limits)
    if config.in_flight_bytes:
        if config.in_flight_bytes < least:
            raise ConfigError(
                f"in_flight_bytes: the largest picture of limits.picture_pixels takes {least}, "
                f"more than {config.in_flight_bytes}"
            )
        return config.in_flight_bytes
    if memory_bytes < IDLE_BYTES + least:
        log.warning(
            "%d MiB of memory are less than the %d MiB that these limits want: lower "
            "limits.picture_pixels or give more",
            memory_bytes // MIB,
            (IDLE_BYTES + least) // MIB,
        )
    return max(least, min(_MOST_BUDGET_BYTES, memory_bytes - IDLE_BYTES))
