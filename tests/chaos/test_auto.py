"""Policy `auto` while the link breaks: it leaves the cloud by itself, and comes back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path as Folder
from typing import Any

import pytest

from benchmarks.net.forwarder import SOUND, Fault, Forwarder
from benchmarks.net.shape import Shape
from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.contracts import AnswerPath, Reason
from splitfer.shared.weights import default_folder
from splitfer.shared.weights.manifest import LOCAL_TAIL
from tests.chaos.faces import SEARCH_SIDE_PX, Picture
from tests.chaos.watch import Watch
from tests.manifests import edit_manifest, set_figures
from tests.processes import Server

# So much that the cloud is in time on a busy machine, and chosen since it is the more accurate.
DEADLINE_MS = 2000.0
BLACKHOLE = Fault(blackhole=True)
FAR = Fault(Shape(delay_ms=150, jitter_ms=100))
NARROW = Fault(Shape(bytes_per_s=150))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The shipped weights, with figures for which it is worth asking the cloud, and giving the
    mean of its answer and the device's."""
    shipped = default_folder()
    folder = tmp_path_factory.mktemp("weights") / shipped.name
    shutil.copytree(shipped, folder)

    def worth_asking(manifest: dict[str, Any]) -> None:
        for name, tail in manifest["tails"].items():
            local = name == LOCAL_TAIL
            set_figures(
                tail["answers"], accuracy=0.5 if local else 0.9, log_loss=1.0 if local else 0.9
            )
        for rate in manifest["rates"]:
            for answers in rate["answers"].values():
                set_figures(answers, accuracy=0.9, log_loss=0.9)
            for both in rate["together"].values():
                set_figures(both, accuracy=0.9, log_loss=0.8)

    edit_manifest(folder, worth_asking)
    return folder


@pytest.fixture
def watch(
    server: Server, forwarder: Forwarder, pictures: list[Picture], weights: Folder
) -> Iterator[Watch]:
    settings = {"policy": "auto", "search_side_px": SEARCH_SIDE_PX, "weights": weights}
    with Recognizer(forwarder.address, deadline_ms=DEADLINE_MS, **settings) as recognizer:
        watch = Watch(recognizer, pictures, DEADLINE_MS, chooses=True)
        watch.until_cloud(3)
        yield watch
        answered = [one.answer.model for one in watch.answers if one.path is AnswerPath.CLOUD]
        assert all(model.endswith("+local") for model in answered)


def test_it_leaves_a_link_that_breaks_and_comes_back(watch: Watch, forwarder: Forwarder) -> None:
    forwarder.set(BLACKHOLE, BLACKHOLE)
    watch.until_reason(Reason.BREAKER_OPEN)
    forwarder.heal()
    watch.back()
    forwarder.refuse()
    forwarder.reset()
    watch.until_reason(Reason.BREAKER_OPEN)
    forwarder.accept()
    watch.back()


def test_it_leaves_a_link_that_is_too_slow(watch: Watch, forwarder: Forwarder) -> None:
    forwarder.set(FAR, FAR)
    watch.for_s(3)
    forwarder.set(NARROW, NARROW)
    watch.until(
        lambda: all(one.path is AnswerPath.LOCAL for one in watch.answers[-20:]),
        "nothing but local",
    )
    forwarder.set(SOUND, SOUND)
    watch.until_cloud(3)
