"""A tail behind calls: what travels together, and what a face gets when a call does not return."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from splitfer.cloud_server.inference.tail import RateTable, TailAnswer
from splitfer.cloud_server.ray_serve.tail import RemoteTail, Result
from splitfer.shared.codec.latent import Latent
from splitfer.shared.contracts import LATENT_SHAPE, Answer
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import DeadlineExceeded, InferenceFailed, NotReady, Overloaded
from splitfer.shared.labels import LabelSet

RATES = RateTable(
    ("f/full",), np.ones((1, 8), np.float32), {LabelSet.FER2013: np.ones(1, np.float32)}
)

FER2013 = LabelSet.FER2013


def latent(number: int = 0) -> Latent:
    return Latent(np.full(LATENT_SHAPE, number, np.uint8), 0)


def answer(number: int) -> TailAnswer:
    return TailAnswer({FER2013: Answer((float(number),) * 7, "f/cloud", FER2013)}, 1.0)


class Replica:
    """Answers each latent with its number, or as it is told."""

    def __init__(self, reply: Callable[[list[Latent]], list[Result]] | None = None) -> None:
        self.calls: list[list[int]] = []
        self.left_ms: list[float] = []
        self.called, self.gave_up = asyncio.Event(), asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self._reply = reply

    async def run(self, latents: list[Latent], left_ms: list[float]) -> list[Result]:
        self.calls.append([int(one.symbols[0, 0, 0]) for one in latents])
        self.left_ms += left_ms
        self.called.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.gave_up.set()
            raise
        if self._reply:
            return self._reply(latents)
        return [answer(number) for number in self.calls[-1]]


def tail(replica: Replica, faces_max: int = 16) -> RemoteTail:
    return RemoteTail("f/cloud", RATES, replica.run, faces_max)


def soon() -> Deadline:
    return Deadline.after_ms(60_000)


async def test_what_comes_together_goes_together_and_no_further_than_the_bound() -> None:
    replica = Replica()
    remote = tail(replica, faces_max=2)
    futures = [remote.submit(latent(n), soon()) for n in range(5)]
    results = await asyncio.gather(*futures)
    assert [result.answers[FER2013].probabilities[0] for result in results] == [0, 1, 2, 3, 4]
    assert replica.calls == [[0, 1], [2, 3], [4]]
    assert all(0 < left <= 60_000 for left in replica.left_ms)
    assert remote.waiting == 0


async def test_a_call_is_not_held_up_by_the_one_before() -> None:
    replica = Replica()
    replica.gate.clear()
    remote = tail(replica)
    first = remote.submit(latent(1), soon())
    await replica.called.wait()
    replica.called.clear()
    second = remote.submit(latent(2), soon())
    await replica.called.wait()
    assert remote.waiting == 2
    assert remote.oldest_ms > 0
    replica.gate.set()
    await asyncio.gather(first, second)


async def test_an_error_is_its_faces_own() -> None:
    replica = Replica(lambda latents: [DeadlineExceeded("late"), *map(answer, range(1))])
    remote = tail(replica)
    late, fine = remote.submit(latent(), soon()), remote.submit(latent(), soon())
    with pytest.raises(DeadlineExceeded):
        await late
    assert (await fine).tail_ms == 1


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (Overloaded("full"), Overloaded),
        (NotReady("gone"), NotReady),
        (RuntimeError("secret"), InferenceFailed),
    ],
)
async def test_a_call_that_fails_fails_all_its_faces(
    raised: Exception, expected: type[Exception]
) -> None:
    def reply(_: list[Latent]) -> list[Result]:
        raise raised

    remote = tail(Replica(reply))
    for future in [remote.submit(latent(), soon()) for _ in range(2)]:
        with pytest.raises(expected) as error:
            await future
        assert "secret" not in str(error.value)


async def test_a_short_reply_is_no_answer() -> None:
    remote = tail(Replica(lambda _: []))
    with pytest.raises(InferenceFailed):
        await remote.submit(latent(), soon())


async def test_a_call_is_given_up_once_nobody_waits_for_it() -> None:
    replica = Replica()
    replica.gate.clear()
    remote = tail(replica)
    one, other = remote.submit(latent(), soon()), remote.submit(latent(), soon())
    await replica.called.wait()
    one.cancel()
    await asyncio.sleep(0)
    assert not replica.gave_up.is_set()
    other.cancel()
    await replica.gave_up.wait()


async def test_a_request_that_ends_does_not_take_others_faces_along() -> None:
    replica = Replica()
    replica.gate.clear()
    remote = tail(replica)

    async def request() -> TailAnswer:
        return await remote.submit(latent(), soon())

    gone, stays = asyncio.create_task(request()), asyncio.create_task(request())
    await replica.called.wait()
    gone.cancel()
    await asyncio.wait([gone])
    replica.gate.set()
    assert (await stays).tail_ms == 1


async def test_on_closing_every_face_gets_its_refusal() -> None:
    replica = Replica()
    replica.gate.clear()
    remote = tail(replica)
    sent = remote.submit(latent(), soon())
    await replica.called.wait()
    gathered = remote.submit(latent(), soon())
    await remote.close()
    for future in (sent, gathered):
        with pytest.raises(NotReady):
            await future
    with pytest.raises(NotReady):
        remote.submit(latent(), soon())
