"""What a shaped direction promises, for any traffic."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.net.shape import Line, Shape, Stream

traffic = st.lists(
    st.tuples(st.integers(1, 1500), st.floats(0, 0.2)), min_size=1, max_size=20
)  # bytes, and seconds after the one before
shapes = st.builds(
    Shape,
    bytes_per_s=st.none() | st.floats(1_000, 1e6),
    delay_ms=st.floats(0, 300),
    jitter_ms=st.floats(0, 200),
    loss=st.floats(0, 0.7),
    duplicates=st.floats(0, 1),
    queue_bytes=st.just(10**9),
)


def at_instants(packets: list[tuple[int, float]]) -> list[tuple[int, float]]:
    now_s, timed = 0.0, []
    for size_bytes, after_s in packets:
        now_s += after_s
        timed.append((size_bytes, now_s))
    return timed


@given(shapes, traffic, st.integers())
def test_packets_keep_their_order_and_never_come_early(
    shape: Shape, packets: list[tuple[int, float]], seed: int
) -> None:
    line, before_s = Line(shape, random.Random(seed).random), 0.0
    for size_bytes, now_s in at_instants(packets):
        soonest_s = now_s + max(0.0, shape.delay_ms - shape.jitter_ms) / 1000
        for due_s in line.packet(size_bytes, now_s):
            assert due_s >= max(before_s, soonest_s)
            before_s = due_s


@given(traffic, st.floats(1_000, 1e6), st.floats(0, 300))
def test_what_is_sent_at_once_takes_exactly_its_bytes_over_the_rate(
    packets: list[tuple[int, float]], bytes_per_s: float, delay_ms: float
) -> None:
    shape = Shape(bytes_per_s, delay_ms, queue_bytes=10**9)
    line, stream, total = Line(shape), Stream(Line(shape)), 0
    for size_bytes, _ in packets:
        total += size_bytes
        due_s = total / bytes_per_s + delay_ms / 1000
        for arrived_s in (*line.packet(size_bytes, 0.0), stream.segment(size_bytes, 0.0)):
            assert abs(arrived_s - due_s) < 1e-6 * due_s


@given(shapes, traffic, st.integers())
def test_a_stream_loses_nothing_and_waits_instead(
    shape: Shape, packets: list[tuple[int, float]], seed: int
) -> None:
    lossy = Stream(Line(shape, random.Random(seed).random))
    sound = Stream(Line(replace(shape, loss=0.0), lambda: 0.5))
    before_s = 0.0
    for size_bytes, now_s in at_instants(packets):
        due_s = lossy.segment(size_bytes, now_s)
        without_jitter_s = sound.segment(size_bytes, now_s)
        assert due_s >= before_s
        assert due_s >= without_jitter_s - shape.jitter_ms / 1000 - 1e-9
        before_s = due_s


def test_the_shares_of_lost_and_duplicated_packets_are_those_asked_for() -> None:
    line = Line(Shape(loss=0.3, duplicates=0.5), random.Random(0).random)
    copies = [len(line.packet(100, 0.0)) for _ in range(20_000)]
    assert abs(copies.count(0) / len(copies) - 0.3) < 0.02
    assert abs(copies.count(2) / len(copies) - 0.7 * 0.5) < 0.02


def test_a_full_queue_drops_and_a_free_one_takes_again() -> None:
    line = Line(Shape(bytes_per_s=1000, queue_bytes=3000))
    assert [len(line.packet(1000, 0.0)) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert len(line.packet(1000, 1.0)) == 1


def test_without_order_jitter_lets_packets_overtake() -> None:
    line = Line(Shape(delay_ms=100, jitter_ms=90, ordered=False), random.Random(0).random)
    dues = [line.packet(100, 0.0)[0] for _ in range(50)]
    assert dues != sorted(dues)
    assert 0.01 <= min(dues) <= max(dues) <= 0.19
