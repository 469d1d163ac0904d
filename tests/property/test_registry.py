"""Any interleaving of load, fail, unload, switch, roll back and requests: there is always a
default, and every request is answered by the weights that it chose when it came."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from splitfer.cloud_server.weights.registry import Registry
from splitfer.cloud_server.weights.served import ServedWeights
from splitfer.shared.errors import ModelMismatch, RefusedChange, WeightsError
from tests.unit.cloud_server.weights.played_weights import PlayedFolders, answer, played

FINGERPRINTS = ("a" * 16, "b" * 16, "c" * 16)
fingerprints = st.sampled_from(FINGERPRINTS)


class RegistryMachine(RuleBasedStateMachine):
    """The registry beside a model of it: a dict of versions, a default, the defaults before."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folders = PlayedFolders(held=True)
        self.registry = Registry([played(FINGERPRINTS[0])], self.folders)
        self.do(self.started())
        self.versions = {FINGERPRINTS[0]: 0}
        self.default = FINGERPRINTS[0]
        self.before: list[str] = []
        self.loads: list[tuple[asyncio.Task[ServedWeights], str | None, int, bool]] = []
        self.requests: list[tuple[ServedWeights, int, ExitStack]] = []
        self.number = 0

    def do(self, work: Any) -> Any:
        return self.loop.run(work)

    async def started(self) -> None:
        self.registry.start()

    # -- loads, which may overlap with everything else -------------------------------------------

    @rule(fingerprint=st.none() | fingerprints, default=st.booleans(), again=st.booleans())
    def begin_load(self, fingerprint: str | None, default: bool, again: bool) -> None:
        """Of a folder that turns out broken where ``fingerprint`` is None; or of what is served."""
        self.number += 1
        version = self.versions.get(fingerprint or "", 0) if again else self.number
        name = str(self.number)
        self.folders.contents[name] = None if fingerprint is None else (fingerprint, version)

        async def begun() -> asyncio.Task[ServedWeights]:
            task = asyncio.create_task(self.registry.add(Path(name), default))
            await asyncio.sleep(0)
            return task

        self.loads.append((self.do(begun()), fingerprint, version, default))

    @precondition(lambda self: self.loads)
    @rule()
    def end_load(self) -> None:
        task, fingerprint, version, default = self.loads.pop(0)
        self.folders.go.release()

        async def ended() -> None:
            await task

        if fingerprint is None:
            with pytest.raises(WeightsError):
                self.do(ended())
            return
        self.do(ended())
        self.versions[fingerprint] = version
        if default:
            self.switch(fingerprint)

    # -- changes ---------------------------------------------------------------------------------

    def switch(self, fingerprint: str) -> None:
        if fingerprint != self.default:
            self.before = [one for one in self.before if one != fingerprint] + [self.default]
            self.default = fingerprint

    @rule(fingerprint=fingerprints)
    def make_default(self, fingerprint: str) -> None:
        if fingerprint in self.versions:
            self.registry.make_default(fingerprint)
            self.switch(fingerprint)
        else:
            with pytest.raises(RefusedChange):
                self.registry.make_default(fingerprint)

    @rule()
    def roll_back(self) -> None:
        assert self.registry.previous == (self.before[-1] if self.before else None)
        if self.before:
            self.registry.roll_back()
            self.default = self.before.pop()
        else:
            with pytest.raises(RefusedChange):
                self.registry.roll_back()

    @rule(fingerprint=fingerprints)
    def unload(self, fingerprint: str) -> None:
        async def removed() -> None:
            self.registry.remove(fingerprint)

        if fingerprint in self.versions and fingerprint != self.default:
            self.do(removed())
            del self.versions[fingerprint]
            self.before = [one for one in self.before if one != fingerprint]
        else:
            with pytest.raises(RefusedChange):
                self.do(removed())

    # -- requests --------------------------------------------------------------------------------

    @rule(fingerprint=fingerprints | st.just(""))
    def begin_request(self, fingerprint: str) -> None:
        """By a device, or a whole picture where ``fingerprint`` is empty."""
        if fingerprint and fingerprint not in self.versions:
            with pytest.raises(ModelMismatch):
                self.registry.weights(fingerprint)
            return
        served = self.registry.weights(fingerprint) if fingerprint else self.registry.default
        version, life = self.versions[fingerprint or self.default], ExitStack()
        life.enter_context(served.request())
        self.requests.append((served, version, life))

    @precondition(lambda self: self.requests)
    @rule(place=st.integers(0, 100))
    def end_request(self, place: int) -> None:
        served, version, life = self.requests.pop(place % len(self.requests))
        with life:
            assert self.do(answer(served)) == (f"{served.fingerprint}/cloud", version)

    # -- always ----------------------------------------------------------------------------------

    @invariant()
    def what_is_served_is_what_was_asked_for(self) -> None:
        registry = self.registry
        assert registry.default.fingerprint == self.default
        assert registry.fingerprints[0] == self.default
        assert set(registry.fingerprints) == set(self.versions)
        for fingerprint, version in self.versions.items():
            weights: Any = registry.weights(fingerprint).weights
            assert weights.manifest.version == version
        # Nothing is closed under a request.
        in_use = {id(served) for served, _, _ in self.requests}
        held = {id(served) for served in (*registry.served, *registry.leaving)}
        assert in_use <= held

    def teardown(self) -> None:
        while self.loads:
            self.end_load()
        while self.requests:
            self.end_request(0)

        async def left() -> None:
            for served in self.registry.leaving:
                await served.unused()
            await self.registry.close()
            assert not self.registry.leaving

        self.do(left())
        self.loop.close()


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
