"""Every face of a request is settled, its owner told once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from splitfer.cloud_server.inference.pending_faces import PendingFaces, gather_faces
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import DeadlineExceeded, Overloaded, SplitFerError

pytestmark = pytest.mark.asyncio
FULL = Overloaded("full")


def soon() -> Deadline:
    return Deadline.after_ms(60_000)


def face() -> asyncio.Future[int]:
    return asyncio.get_running_loop().create_future()


async def test_results_come_in_order_and_the_owner_is_told_once() -> None:
    first, second = face(), face()
    told: list[list[int | SplitFerError]] = []
    faces: PendingFaces[int] = PendingFaces(
        [first, FULL, second], soon(), lambda: told.append(faces.results)
    )
    second.set_result(2)
    await asyncio.sleep(0)
    assert not told
    first.set_result(1)
    await asyncio.sleep(0.01)
    faces.withdraw()
    assert told == [[1, FULL, 2]]


async def test_faces_that_were_all_refused_are_settled_later_not_at_once() -> None:
    told = asyncio.Event()
    faces: PendingFaces[int] = PendingFaces([FULL], soon(), told.set)
    assert not told.is_set()
    await told.wait()
    assert faces.results == [FULL]


async def test_what_is_late_is_withdrawn_and_its_owner_told_once() -> None:
    told: list[str] = []
    quick, slow = face(), face()
    quick.set_result(1)
    faces: PendingFaces[int] = PendingFaces(
        [quick, slow], Deadline.after_ms(20), lambda: told.append("done")
    )
    await asyncio.wait([slow])
    await asyncio.sleep(0.01)
    assert told == ["done"]
    assert slow.cancelled()
    one, other = faces.results
    assert one == 1
    assert isinstance(other, DeadlineExceeded)


async def test_withdrawn_faces_are_cancelled_and_nobody_is_told() -> None:
    told: list[str] = []
    waiting = face()
    faces: PendingFaces[int] = PendingFaces(
        [waiting], Deadline.after_ms(5), lambda: told.append("done")
    )
    faces.withdraw()
    assert waiting.cancelled()
    await asyncio.sleep(0.02)
    assert not told


async def test_a_failure_that_nobody_meant_is_logged_and_said_plainly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = face()
    broken.set_exception(KeyError("secret"))
    with caplog.at_level(logging.ERROR):
        (result,) = await gather_faces([broken], soon())
    assert isinstance(result, SplitFerError)
    assert "secret" not in str(result)
    assert "a face failed" in caplog.text


async def test_who_stops_waiting_withdraws() -> None:
    waiting = face()
    task = asyncio.create_task(gather_faces([waiting], soon()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert waiting.cancelled()
