from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.device import Device
from splitfer.edge_client.updates.fetched_weights import FetchedWeights
from splitfer.edge_client.updates.weights_store import (
    CHOSEN,
    MOST_LOADS,
    WeightsStore,
    folder_name,
    mark_of,
)
from splitfer.shared.errors import ConfigError
from splitfer.shared.weights import default_folder

BASE = Path("/base")


def fetched(root: Path, number: int) -> str:
    name = folder_name("0123456789abcdef", f"{number:016x}")
    (root / name).mkdir(parents=True, exist_ok=True)
    return name


def test_new_weights_are_tried_and_then_kept_and_the_old_ones_go(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    assert store.folder(BASE) == BASE
    first, second = fetched(tmp_path, 1), fetched(tmp_path, 2)
    store.take(first, 1)
    store.load()
    store.begun()
    store.confirm()
    store.take(second, 2)
    assert store.on_trial
    assert (tmp_path / first).exists()
    store.confirm()
    again = WeightsStore(tmp_path)
    assert again.folder(BASE) == tmp_path / second
    assert not again.on_trial
    assert again.chosen.release == 2
    assert not (tmp_path / first).exists()


def test_those_that_fail_are_left_for_good_and_the_ones_before_come_back(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    first, second = fetched(tmp_path, 1), fetched(tmp_path, 2)
    store.take(first, 1)
    store.confirm()
    store.take(second, 2)
    store.give_up("wrong logits")
    assert store.folder(BASE) == tmp_path / first
    assert not store.on_trial
    assert store.chosen.refused == (mark_of(f"{2:016x}"),)
    assert store.chosen.release == 2  # nothing older is taken for newer
    assert not (tmp_path / second).exists()


def test_a_device_that_dies_of_them_goes_back_by_itself(tmp_path: Path) -> None:
    WeightsStore(tmp_path).take(fetched(tmp_path, 1), 1)
    for _ in range(MOST_LOADS):
        store = WeightsStore(tmp_path)  # as each start of the process makes it
        store.load()
        assert store.folder(BASE) != BASE
    store = WeightsStore(tmp_path)
    store.load()
    assert store.folder(BASE) == BASE
    assert not store.on_trial


def test_a_run_that_began_and_was_killed_is_no_fault_of_theirs(tmp_path: Path) -> None:
    WeightsStore(tmp_path).take(fetched(tmp_path, 1), 1)
    for _ in range(2 * MOST_LOADS):
        store = WeightsStore(tmp_path)
        store.load()
        store.begun()
    assert store.folder(BASE) != BASE
    assert store.on_trial


def test_weights_that_somebody_removed_are_not_missed(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    name = fetched(tmp_path, 1)
    store.take(name, 1)
    store.confirm()
    shutil.rmtree(tmp_path / name)
    store.load()
    assert store.folder(BASE) == BASE


def with_key(base: Path) -> EdgeConfig:
    return EdgeConfig(weights=base, weights_key=base, server="localhost:1")


def test_what_proved_itself_and_cannot_be_loaded_any_more_stops_no_device(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path)
    store.take(fetched(tmp_path, 1), 1)
    store.confirm()
    weights = FetchedWeights(tmp_path)
    config = with_key(BASE)
    assert weights.used_in(config).weights != BASE
    assert weights.given_up(config, "local.onnx was altered")
    assert weights.used_in(config).weights == BASE
    assert not weights.given_up(config, "those of the settings are wrong too")
    again = WeightsStore(tmp_path)
    assert (again.chosen.name, again.chosen.release, again.chosen.refused) == (None, 1, ())


# They have neither the second label set nor a second local model.
POORER = default_folder().parent / "18f22bc9477744ef"


@pytest.fixture
def poorer(tmp_path: Path) -> WeightsStore:
    """What was fetched and has proved itself has less than the installed weights."""
    name = folder_name(POORER.name, f"{1:016x}")
    (tmp_path / name).symlink_to(POORER)
    store = WeightsStore(tmp_path)
    store.take(name, 1)
    store.confirm()
    return store


@pytest.mark.parametrize("asked", [{"local_model": "edgecnn"}, {"labels": "crowd"}])
def test_what_the_settings_name_and_only_the_installed_weights_have_is_obeyed(
    asked: dict[str, Any], poorer: WeightsStore, caplog: pytest.LogCaptureFixture
) -> None:
    weights = FetchedWeights(poorer.root)
    plain, base = with_key(default_folder()), default_folder()
    chosen = EdgeConfig(**{**dict(plain), **asked})
    assert weights.used_in(plain).weights == poorer.folder(base)
    assert not caplog.text
    assert weights.used_in(chosen).weights == base
    assert "set aside" in caplog.text
    assert str(next(iter(asked.values()))) in caplog.text
    Device(weights.used_in(chosen))  # it starts
    assert caplog.text.count("set aside") == 1  # said once
    # They are not lost by it, whatever befalls the weights that are used in their place.
    assert not weights.given_up(chosen, "local.onnx was altered")
    assert weights.used_in(plain).weights == poorer.folder(base)
    assert WeightsStore(poorer.root).chosen == poorer.chosen


def test_what_no_weights_have_is_refused_by_those_that_are_used(poorer: WeightsStore) -> None:
    chosen = EdgeConfig(**{**dict(with_key(default_folder())), "local_model": "edgecnnn"})
    with pytest.raises(ConfigError, match=r"no 'edgecnnn'; there are backbone$"):
        Device(FetchedWeights(poorer.root).used_in(chosen))


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "null", '{"name": "../../etc"}', '{"name": 7}', '{"unheard": 1}',
        '{"release": "x"}', '{"loads": null}', '{"before": ".."}', '{"refused": 7}',
    ],
)  # fmt: skip
def test_a_damaged_file_means_the_weights_of_the_settings(text: str, tmp_path: Path) -> None:
    (tmp_path / CHOSEN).write_text(text)
    store = WeightsStore(tmp_path)
    assert store.folder(BASE) == BASE
    store.take(fetched(tmp_path, 1), 1)
    assert json.loads((tmp_path / CHOSEN).read_text())["name"]


def test_a_disk_that_takes_nothing_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = WeightsStore(tmp_path)
    name = fetched(tmp_path, 1)
    store.take(name, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("splitfer.edge_client.updates.weights_store.write_whole", full)
    store.load()
    store.begun()
    store.give_up("a test")
    assert store.folder(BASE) == BASE
    assert "No space left" in caplog.text
    monkeypatch.undo()
    again = WeightsStore(tmp_path)  # and what is on disk is still one of the two
    again.load()
    assert again.folder(BASE) in (BASE, tmp_path / name)


class Life(RuleBasedStateMachine):
    """Whatever happens, what is used is there; and the release never falls."""

    @initialize(folder=st.just(None))
    def begin(self, folder: None) -> None:
        import tempfile

        self.root = Path(tempfile.mkdtemp())
        self.store = WeightsStore(self.root)
        self.number = self.release = 0

    @rule()
    def take(self) -> None:
        self.number += 1
        self.store.take(fetched(self.root, self.number), self.number)

    @rule()
    def load(self) -> None:
        self.store.load()

    @rule()
    def begun(self) -> None:
        self.store.begun()

    @rule()
    def confirm(self) -> None:
        self.store.confirm()

    @precondition(lambda self: self.store.on_trial)
    @rule()
    def give_up(self) -> None:
        self.store.give_up("a test")

    @rule()
    def restart(self) -> None:
        before = self.store.chosen
        self.store = WeightsStore(self.root)
        assert self.store.chosen == before

    @invariant()
    def what_is_used_is_there(self) -> None:
        folder = self.store.folder(BASE)
        assert folder == BASE or folder.is_dir()
        assert self.store.chosen.release >= self.release
        self.release = self.store.chosen.release
        name = self.store.chosen.name
        assert name is None or name.partition("-")[2] not in self.store.chosen.refused

    def teardown(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
