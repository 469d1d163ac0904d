"""Turns go by address, and leave time between them."""

from __future__ import annotations

import asyncio

from splitfer.cloud_server.admission.turns import FIRST, Turns


async def in_order(turns: Turns, addresses: str) -> str:
    order = list[str]()

    async def one(address: str) -> None:
        await turns.turn(address)
        order.append(address)

    await asyncio.gather(*map(one, addresses))
    return "".join(order)


async def test_who_comes_from_elsewhere_does_not_wait_behind_a_crowd() -> None:
    assert await in_order(Turns(0), "aaaaaaabc") == "aabcaaaaa"


async def test_the_loop_has_time_between_two_turns() -> None:
    every_s = 0.01
    turns, times = Turns(every_s), list[float]()
    for _ in range(5):
        await turns.turn("a")
        times.append(asyncio.get_running_loop().time())
    assert times[-1] - times[0] >= 3.9 * every_s


async def test_one_that_has_gone_takes_no_turn() -> None:
    turns = Turns(60)
    await turns.turn("a")
    waits = [asyncio.create_task(turns.turn("a")) for _ in range(3)]
    await asyncio.sleep(0)
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    turns._go_on()
    await asyncio.wait_for(turns.turn("b"), 5)


async def test_a_few_of_an_address_may_be_served_before_their_turns() -> None:
    turns = Turns(60)
    turns.owe("a")  # whose turn comes at once
    for _ in range(FIRST):
        assert not turns.is_crowd("a")
        turns.owe("a")
    assert turns.is_crowd("a")
    assert not turns.is_crowd("b")
    waits = asyncio.create_task(turns.turn("a"))
    for _ in range(FIRST + 1):  # those that are owed, first
        assert not waits.done()
        turns._go_on()
        await asyncio.sleep(0)
    await asyncio.wait_for(waits, 5)
