from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.cloud_server.admission.bounds import (
    IDLE_BYTES,
    MIB,
    PICTURE_BYTES_A_PIXEL,
    Bounds,
    bounds_of,
    least_in_flight_bytes,
    memory_wanted_bytes,
)
from splitfer.cloud_server.admission.byte_budget import ByteBudget, Held
from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import ConfigError

CONFIG = CloudConfig()
GIB = 1024 * MIB


def in_flight_bytes(bounds: Bounds) -> int:
    return bounds.received_bytes + bounds.picture_bytes


def test_a_large_machine_has_what_the_settings_say(caplog: pytest.LogCaptureFixture) -> None:
    bounds = bounds_of(CONFIG, 1_000_000, 64 * GIB)
    assert bounds.http_connections == CONFIG.connections_max
    assert bounds.grpc_connections == CONFIG.grpc_connections_max
    assert in_flight_bytes(bounds) == 512 * MIB
    assert not caplog.records


@pytest.mark.parametrize("open_files", [256, 1024, 4096])
def test_few_descriptors_leave_some_for_the_server_itself(
    open_files: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        bounds = bounds_of(CONFIG, open_files, 64 * GIB)
    assert 0 < bounds.http_connections + bounds.grpc_connections <= open_files - 128
    # In the proportion of the settings: neither port takes all.
    assert bounds.grpc_connections / bounds.http_connections == pytest.approx(4, rel=0.1)
    assert "ulimit -n" in caplog.text


@pytest.mark.parametrize("memory_mib", [1000, 1024, 1100])
def test_the_budget_is_what_is_left_of_the_memory(memory_mib: int) -> None:
    bounds = bounds_of(CONFIG, 10_000, memory_mib * MIB)
    assert in_flight_bytes(bounds) == memory_mib * MIB - IDLE_BYTES
    assert memory_wanted_bytes(CONFIG) <= memory_mib * MIB


def test_too_little_memory_is_said_and_the_largest_picture_is_read_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        bounds = bounds_of(CONFIG, 10_000, 512 * MIB)
    assert in_flight_bytes(bounds) == least_in_flight_bytes(CONFIG.limits)
    assert "512 MiB of memory" in caplog.text


def test_a_budget_that_is_set_holds_the_largest_picture() -> None:
    with pytest.raises(ConfigError, match="in_flight_bytes"):
        bounds_of(CloudConfig(in_flight_bytes=MIB), 10_000, GIB)
    config = CloudConfig(in_flight_bytes=GIB)
    assert in_flight_bytes(bounds_of(config, 10_000, GIB)) == GIB
    assert memory_wanted_bytes(config) == IDLE_BYTES + GIB


@given(st.integers(0, 4 * GIB), st.integers(1, 100_000_000), st.integers(1, 64 * MIB))
def test_beside_one_who_takes_its_share_there_is_room_for_the_largest(
    memory: int, pixels: int, body_bytes: int
) -> None:
    limits = Limits(picture_pixels=pixels, body_bytes=body_bytes)
    bounds = bounds_of(CloudConfig(limits=limits), 10_000, memory)
    assert bounds.picture_bytes >= PICTURE_BYTES_A_PIXEL * pixels, "whatever is being received"
    assert 0 < bounds.standing_bytes < bounds.received_bytes
    received = ByteBudget(bounds.received_bytes)
    received.take("hostile", bounds.received_bytes // 2)
    honest = Held(received, "honest")
    for part in range(1, 9):
        honest.become(2 * body_bytes * part // 8)  # as it comes; each byte twice
