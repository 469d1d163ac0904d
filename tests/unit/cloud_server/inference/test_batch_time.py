import pytest

from splitfer.cloud_server.inference.batch_time import BatchTime


def learnt(fixed_s: float, per_item_s: float, sizes: tuple[int, ...] = (1, 4, 16)) -> BatchTime:
    times = BatchTime(lambda: 0.0)
    for size in sizes:
        times.learn(size, fixed_s + per_item_s * size)
    return times


def test_nothing_is_known_before_the_first_run() -> None:
    times = BatchTime(lambda: 0.0)
    assert times.of(16) == 0
    assert not times.fresh
    assert times.within(0.001, 16) == 16


def test_a_line_is_learnt_from_sizes_that_differ() -> None:
    times = learnt(0.002, 0.001)
    for size in (1, 2, 7, 16, 40):
        assert times.of(size) == pytest.approx(0.002 + 0.001 * size)
    assert times.within(0.0121, 16) == 10
    assert times.within(0.0029, 16) == 0


def test_one_size_alone_is_taken_as_so_much_an_item() -> None:
    times = learnt(0.002, 0.001, sizes=(4, 4, 4))
    assert times.of(4) == pytest.approx(0.006)
    assert times.of(8) == pytest.approx(0.012)


def test_a_slow_run_now_and_then_changes_nothing() -> None:
    times = learnt(0.0, 0.001)
    for n in range(60):
        times.learn(8, 0.5 if n % 5 == 0 else 0.008)
    assert times.of(8) == pytest.approx(0.008, rel=0.01)


def test_it_follows_a_machine_that_slows_down() -> None:
    times = learnt(0.0002, 0.001)
    for _ in range(12):
        times.learn(16, 0.0322)
    assert times.of(16) == pytest.approx(0.0322, rel=0.05)
    assert times.of(1) < 0.003


@pytest.mark.parametrize("took_s", [(0.001, 0.0005), (0.004, 0.001), (0.0, 0.0)])
def test_times_that_make_no_sense_give_no_negative_cost(took_s: tuple[float, float]) -> None:
    times = BatchTime(lambda: 0.0)
    times.learn(1, took_s[0])
    times.learn(16, took_s[1])
    assert 0 <= times.of(1) <= times.of(16) <= times.of(100)
    assert 0 <= times.within(0.01, 64) <= 64


def test_an_estimate_is_fresh_for_a_second() -> None:
    now = 0.0
    times = BatchTime(lambda: now)
    times.learn(1, 0.001)
    assert times.fresh
    now = 1.5
    assert not times.fresh
