"""The queue of turns against a slow, literal one: sort all that waits by turn, urgency, arrival."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from splitfer.cloud_server.admission.fair_queue import FairQueue

OWNERS = st.sampled_from("abc")
URGENCIES = st.sampled_from([0.0, 1.0, 2.0, 3.0])


class Turns(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue()
        self.waiting: dict[str, list[tuple[float, int]]] = {}  # urgency and number, sorted
        self.next_turn: dict[str, int] = {}
        self.turn = self.count = 0

    def literal_order(self) -> list[tuple[int, float, int, str]]:
        return sorted(
            (self.next_turn[owner] + place, urgency, number, owner)
            for owner, waiting in self.waiting.items()
            for place, (urgency, number) in enumerate(waiting)
        )

    def remove(self, owner: str, one: tuple[float, int]) -> None:
        self.waiting[owner].remove(one)
        if not self.waiting[owner]:
            del self.waiting[owner]

    @rule(owner=OWNERS, urgency=URGENCIES)
    def add(self, owner: str, urgency: float) -> None:
        before = self.queue.ahead(owner, urgency)
        self.queue.add(owner, urgency, self.count)
        if owner not in self.waiting:
            self.waiting[owner], self.next_turn[owner] = [], self.turn
        self.waiting[owner] = sorted([*self.waiting[owner], (urgency, self.count)])
        numbers = [number for _, _, number, _ in self.literal_order()]
        assert numbers.index(self.count) == before
        self.count += 1

    @rule(count=st.integers(0, 5))
    def serve(self, count: int) -> None:
        literal = self.literal_order()[:count]
        places = [place for place, _ in zip(self.queue.order(), range(count), strict=False)]
        self.queue.served(places)
        for turn, urgency, number, owner in literal:
            self.turn = turn
            self.next_turn[owner] += 1
            self.remove(owner, (urgency, number))

    @rule(owner=OWNERS)
    def take_the_first_of(self, owner: str) -> None:
        place = next((one for one in self.queue.order() if one.owner == owner), None)
        if place is not None:
            self.queue.take(place)
            self.turn = max(self.turn, self.next_turn[owner])
            self.next_turn[owner] += 1
            self.remove(owner, self.waiting[owner][0])

    @rule(owner=OWNERS)
    def give_way(self, owner: str) -> None:
        mine = len(self.waiting.get(owner, ()))
        most = max(map(len, self.waiting.values()), default=0)
        assert self.queue.gives_way(owner) == (most > mine + 1)
        if most > mine + 1:
            gone = self.queue.give_way(owner)
            (whose,) = [
                one for one, its in self.waiting.items() if gone in [number for _, number in its]
            ]
            assert len(self.waiting[whose]) == most
            assert self.waiting[whose][-1][1] == gone
            self.remove(whose, self.waiting[whose][-1])

    @rule(rest=st.integers(2, 4))
    def forget(self, rest: int) -> None:
        gone = [
            (owner, one) for owner, its in self.waiting.items() for one in its if not one[1] % rest
        ]
        assert self.queue.forget(lambda number: not number % rest) == bool(gone)
        for owner, one in gone:
            self.remove(owner, one)

    @invariant()
    def the_order_is_the_literal_one(self) -> None:
        literal = self.literal_order()
        places = list(self.queue.order())
        assert [place.item for place in places] == [number for _, _, number, _ in literal]
        assert [place.turn for place in places] == [turn for turn, _, _, _ in literal]
        lasts = {owner: its[-1][1] for owner, its in self.waiting.items()}
        assert {place.owner: place.item for place in places if place.last} == lasts
        assert len(self.queue) == len(literal)


TestTurns = Turns.TestCase
