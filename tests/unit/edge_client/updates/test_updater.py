from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.updates import updater
from splitfer.edge_client.updates.judge import NotJudged
from splitfer.edge_client.updates.updater import FRAMES_ON_TRIAL, LOST_ON_TRIAL, Updater
from splitfer.edge_client.updates.weights_store import WeightsStore
from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import default_folder
from tests.processes import wait_until
from tests.unit.edge_client.updates.signed_weights import (
    KEY,
    PlayedServer,
    sign_folder,
    signed_copy,
)

BASE = default_folder().parent / "18f22bc9477744ef"


class Run:
    """What an updater sees of a run, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.server = PlayedServer(signed_copy(folder / "server"))
        self.root = folder / "weights"
        self.books = {"answered": 0, "lost": 0}
        self.events: list[str] = []
        self.renewed = self.judged = 0
        self.verdict: Exception | None = None
        self.config = EdgeConfig(server="localhost:1", weights_every_h=1e-6)
        self._stack = ExitStack()

    def store(self) -> WeightsStore:
        return WeightsStore(self.root)

    def begin(self, store: WeightsStore, set_aside: str | None = None) -> Updater:
        def renew() -> None:
            self.renewed += 1

        def judged(*_: object) -> None:
            self.judged += 1
            if self.verdict is not None:
                raise self.verdict

        def told(event: str, **facts: Any) -> None:
            self.events.append(event)

        looks = Updater(
            store,
            BASE,
            KEY.public_key(),
            self.config,
            self.server,
            lambda: dict(self.books),
            renew,
            told,
            judged,
            set_aside,
        )
        return self._stack.enter_context(closing(looks))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr(updater, "_LOOK_EVERY_S", 0.005)
    with closing(Run(tmp_path)) as run:
        yield run


def taken(run: Run) -> WeightsStore:
    run.begin(run.store())
    wait_until(lambda: run.renewed, "the run to go on with them")
    assert run.events == ["weights_taken"]
    store = run.store()
    assert store.on_trial
    assert (store.folder(BASE) / "local.onnx").exists()
    return store


def test_thirty_answered_frames_prove_them(run: Run) -> None:
    store = taken(run)
    looks = run.begin(store)
    run.books["answered"] = FRAMES_ON_TRIAL - 1
    assert store.on_trial
    run.books["answered"] = FRAMES_ON_TRIAL
    wait_until(lambda: not store.on_trial, "the end of the trial")
    wait_until(lambda: "weights_confirmed" in run.events, "it to be told")
    assert run.renewed == 1
    assert looks.report()["trial"] is False


def test_three_lost_frames_bring_back_the_ones_of_before(run: Run) -> None:
    store = taken(run)
    run.begin(store)
    run.books["lost"] = LOST_ON_TRIAL
    wait_until(lambda: run.renewed == 2, "the run to go back")
    assert store.folder(BASE) == BASE
    assert run.events[-1] == "weights_given_up"
    calls = run.server.calls
    run.begin(run.store())
    run.books["answered"] = 100
    asked: list[int] = []
    run.server.change = lambda *_: asked.append(1)
    wait_until(lambda: len(asked) > 3, "it to ask again")
    assert run.server.calls == calls  # and to take nothing of what failed here
    assert run.renewed == 2


def test_a_trial_waits_while_what_was_fetched_is_set_aside(run: Run) -> None:
    """Frames that other weights answer or lose say nothing of these."""
    store = taken(run)
    calls, asked = run.server.calls, []
    run.server.change = lambda *_: asked.append(1)
    looks = run.begin(store, "no local model 'mine'")
    run.books |= {"answered": FRAMES_ON_TRIAL, "lost": LOST_ON_TRIAL}
    wait_until(lambda: len(asked) > 3, "it to look for newer ones")
    assert (run.server.calls, run.events) == (calls, ["weights_taken"])
    assert looks.report()["trial"] is True
    assert looks.report()["set_aside"] == "no local model 'mine'"


@pytest.mark.parametrize(
    ("verdict", "again"),
    [(WeightsError("wrong logits"), False), (NotJudged("no memory"), True)],
)
def test_a_verdict_is_remembered_and_none_is_not(run: Run, verdict: Exception, again: bool) -> None:
    run.verdict = verdict
    run.begin(run.store())
    asked: list[int] = []
    wait_until(lambda: run.judged, "a look")
    run.server.change = lambda *_: asked.append(1)
    wait_until(lambda: len(asked) > 3, "more questions")
    assert (run.judged > 1) is again
    assert run.events == ["weights_refused"]  # once, however often it is tried
    assert not run.renewed
    run.verdict = None
    sign_folder(run.server.folder, 2)
    manifest = run.server.folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    sign_folder(run.server.folder, 2)
    wait_until(lambda: run.renewed, "the next release to be taken")


def test_releases_of_before_are_not_taken(run: Run) -> None:
    store = run.store()
    store.take("x", 3)
    store.confirm()
    run.begin(store)
    wait_until(lambda: run.events, "the refusal")
    assert run.events == ["weights_refused"]
    assert run.server.calls == 0


def test_what_was_lost_is_taken_once_more(run: Run) -> None:
    store = taken(run)
    store.confirm()
    store.lose("local.onnx was altered")
    assert store.folder(BASE) == BASE
    run.begin(store)
    wait_until(lambda: run.renewed == 2, "the same release to be taken again")
    assert (store.chosen.release, store.folder(BASE) == BASE) == (1, False)


def test_closed_it_ends_at_once(run: Run) -> None:
    run.verdict = NotJudged("no memory")
    looks = run.begin(run.store())
    wait_until(lambda: run.judged, "a look")
    looks.close()
    judged = run.judged
    looks.close()
    assert run.judged == judged
