"""The link works, badly."""

from __future__ import annotations

import pytest

from benchmarks.net.forwarder import SOUND, Fault, Forwarder
from benchmarks.net.shape import Shape
from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.contracts import AnswerPath, Reason
from splitfer.shared.weights import default_folder
from tests.chaos.conftest import CHAOS_MINUTES, FAULT_S
from tests.chaos.faces import SEARCH_SIDE_PX, Picture
from tests.chaos.watch import BROKEN, TOO_LATE, Watch
from tests.processes import Server

BLACKHOLE = Fault(blackhole=True)
PATIENT_MS = 20_000.0


def both(forwarder: Forwarder, fault: Fault) -> None:
    forwarder.set(fault, fault)


def test_one_megabit_is_enough(watch: Watch, forwarder: Forwarder) -> None:
    both(forwarder, Fault(Shape(bytes_per_s=125_000, delay_ms=5)))
    watch.until_cloud(20)
    assert watch.reasons() <= TOO_LATE


def test_one_byte_at_a_time_is_enough(
    server: Server, forwarder: Forwarder, pictures: list[Picture]
) -> None:
    """Thousands of reads take their time, so this device has some."""
    settings = {"policy": "cloud", "search_side_px": SEARCH_SIDE_PX, "weights": default_folder()}
    both(forwarder, Fault(slice_bytes=1))
    with Recognizer(forwarder.address, deadline_ms=PATIENT_MS, **settings) as patient:
        watch = Watch(patient, pictures, PATIENT_MS)
        watch.until_cloud(5)
    assert watch.reasons() <= {Reason.LINK_DOWN}  # while the first handshake is under way


def test_half_of_the_packets_lost(watch: Watch, forwarder: Forwarder) -> None:
    both(forwarder, Fault(Shape(loss=0.5, delay_ms=10)))
    watch.until_reason(Reason.DEADLINE, Reason.BREAKER_OPEN)
    watch.for_s(FAULT_S)
    forwarder.heal()
    watch.back()
    assert watch.reasons() <= BROKEN


def test_three_hundred_milliseconds_more_or_less(watch: Watch, forwarder: Forwarder) -> None:
    both(forwarder, Fault(Shape(delay_ms=150, jitter_ms=100)))
    watch.for_s(FAULT_S)
    forwarder.heal()
    watch.back()
    assert watch.reasons() <= BROKEN


@pytest.mark.parametrize("told", [False, True], ids=["silent", "told"])
def test_flapping_every_three_seconds(watch: Watch, forwarder: Forwarder, told: bool) -> None:
    for _ in range(1 + min(9, int(2 * CHAOS_MINUTES))):
        if told:
            forwarder.refuse()
            forwarder.reset()
        else:
            both(forwarder, BLACKHOLE)
        watch.for_s(3)
        forwarder.heal()
        watch.for_s(3)
    watch.until_cloud(1, 5)
    assert watch.reasons() <= BROKEN


@pytest.mark.parametrize("way", ["up", "down"])
def test_flipped_bits_change_no_answer(watch: Watch, forwarder: Forwarder, way: str) -> None:
    forwarder.set(**{way: Fault(flip_every_bytes=2_000 if way == "up" else 500)})
    watch.until(lambda: any(one.path is AnswerPath.LOCAL for one in watch.answers), "any harm")
    watch.for_s(3 * FAULT_S)
    forwarder.set(SOUND, SOUND)
    watch.back()
