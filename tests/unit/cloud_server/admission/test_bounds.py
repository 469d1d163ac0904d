from __future__ import annotations

import logging

import pytest

from splitfer.cloud_server.admission.bounds import (
    IDLE_BYTES,
    MIB,
    bounds_of,
    least_in_flight_bytes,
    memory_wanted_bytes,
)
from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.errors import ConfigError

CONFIG = CloudConfig()
GIB = 1024 * MIB


def test_a_large_machine_has_what_the_settings_say(caplog: pytest.LogCaptureFixture) -> None:
    bounds = bounds_of(CONFIG, 1_000_000, 64 * GIB)
    assert bounds.http_connections == CONFIG.connections_max
    assert bounds.grpc_connections == CONFIG.grpc_connections_max
    assert bounds.in_flight_bytes == 512 * MIB
    beside = bounds.in_flight_bytes - bounds.standing_bytes
    assert beside == least_in_flight_bytes(CONFIG.limits), "the largest picture is always read"
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
    assert bounds.in_flight_bytes == memory_mib * MIB - IDLE_BYTES
    assert memory_wanted_bytes(CONFIG) <= memory_mib * MIB


def test_too_little_memory_is_said_and_the_largest_picture_is_read_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        bounds = bounds_of(CONFIG, 10_000, 512 * MIB)
    assert bounds.in_flight_bytes == least_in_flight_bytes(CONFIG.limits)
    assert bounds.standing_bytes == bounds.in_flight_bytes // 8, "some streams there are"
    assert "512 MiB of memory" in caplog.text


def test_a_budget_that_is_set_holds_the_largest_picture() -> None:
    with pytest.raises(ConfigError, match="in_flight_bytes"):
        bounds_of(CloudConfig(in_flight_bytes=MIB), 10_000, GIB)
    config = CloudConfig(in_flight_bytes=GIB)
    assert bounds_of(config, 10_000, GIB).in_flight_bytes == GIB
    assert memory_wanted_bytes(config) == IDLE_BYTES + GIB
