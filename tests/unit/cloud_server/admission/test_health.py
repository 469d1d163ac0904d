"""Whether work is let in, and why not."""

import pytest

from splitfer.cloud_server.admission.health import Health, Phase
from splitfer.shared.errors import NotReady


@pytest.mark.parametrize(
    ("phase", "reason"), [(Phase.STARTING, "starting"), (Phase.DRAINING, "draining")]
)
def test_it_says_why_it_takes_no_work(phase: Phase, reason: str) -> None:
    health = Health()
    health.phase = phase
    assert not health.ready
    assert health.reason == reason
    with pytest.raises(NotReady, match=reason), health.request():
        pytest.fail("it was let in")
    assert health.in_flight == 0


def test_one_that_leaves_takes_work_that_it_asks_nobody_for() -> None:
    health = Health()
    health.phase = Phase.LEAVING
    assert (health.ready, health.reason) == (False, "leaving")
    with health.request():
        assert health.in_flight == 1


async def test_it_is_empty_once_each_request_has_ended() -> None:
    health = Health()
    health.phase = Phase.SERVING
    with health.request():
        with health.request():
            assert health.in_flight == 2
        assert not health.is_empty
    await health.empty()
    assert health.in_flight == 0
