"""Refusals for lack of time: at once for whoever asks too much, slowly for whoever floods."""

from __future__ import annotations

import pytest

from splitfer.cloud_server.admission.refusals import FREE_PER_ANSWER, FREE_PER_S, Refusals
from splitfer.cloud_server.admission.turns import Turns

FLOOD = 10 * FREE_PER_S


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose turns were waited for."""
    told = list[str]()

    async def turn(_: Turns, caller: str) -> None:
        told.append(caller)

    monkeypatch.setattr(Turns, "turn", turn)
    return told


async def refused(refusals: Refusals, caller: str, times: int) -> None:
    for _ in range(times):
        refusals.asked(caller)
        await refusals.turn(caller)


async def test_a_flood_waits_for_turns_while_others_ask(turns: list[str]) -> None:
    refusals = Refusals(lambda: 5.0)
    refusals.asked("honest")
    await refused(refusals, "hostile", FLOOD)
    await refused(refusals, "honest", FREE_PER_S)
    assert turns == ["hostile"] * (FLOOD - FREE_PER_S)


async def test_a_fleet_that_is_alone_or_has_answers_hears_at_once(turns: list[str]) -> None:
    refusals = Refusals(lambda: 5.0)
    await refused(refusals, "fleet", FLOOD)
    refusals = Refusals(lambda: 5.0)
    for _ in range(FLOOD // FREE_PER_ANSWER):
        refusals.answered("fleet")
    refusals.asked("another")
    await refused(refusals, "fleet", FLOOD)
    assert turns == []


async def test_who_stops_flooding_is_refused_at_once_again(turns: list[str]) -> None:
    now_s = 5.0
    refusals = Refusals(lambda: now_s)
    refusals.asked("honest")
    await refused(refusals, "a", FLOOD)
    turns.clear()
    now_s += 1
    await refused(refusals, "a", FREE_PER_S)
    assert turns == []
