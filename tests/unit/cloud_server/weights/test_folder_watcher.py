"""The watched directory, look by look. A folder's manifest is its fingerprint, or nonsense."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.weights.folder_watcher import Watch, watching
from splitfer.cloud_server.weights.registry import Registry
from splitfer.cloud_server.weights.served import ServedWeights
from splitfer.shared.errors import ConfigError, WeightsError
from tests.unit.cloud_server.weights.played_weights import played

A, B, C = "a" * 16, "b" * 16, "c" * 16


def opened(folder: Path, _: Any) -> ServedWeights:
    text = (folder / "manifest.json").read_text()
    if len(text) != 16:
        raise WeightsError(f"{folder} is broken")
    return played(text, folder=folder)


@pytest_asyncio.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    registry = Registry([played(A, folder=tmp_path / "elsewhere" / "a")], opened)
    registry.start()
    yield registry
    await registry.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "watched"
    folder.mkdir()
    return folder


def put(folder: Path, name: str, manifest: str) -> Path:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "manifest.json").write_text(manifest)
    return folder / name


async def looks(watch: Watch, times: int = 2) -> None:
    for _ in range(times):
        await watch.look()


async def test_a_folder_that_comes_is_served_and_one_that_goes_is_not(
    folder: Path, registry: Registry
) -> None:
    watch = Watch(folder, registry)
    await watch.look()
    new = put(folder, "new", B)
    await watch.look()
    assert registry.fingerprints == (A,), "it may still be written to"
    await watch.look()
    assert registry.fingerprints == (A, B)
    shutil.rmtree(new)
    await watch.look()
    assert registry.fingerprints == (A,)
    put(folder, "new", B)
    await looks(watch)
    assert registry.fingerprints == (A, B)


async def test_what_is_there_at_the_start_is_served_at_once(
    folder: Path, registry: Registry
) -> None:
    put(folder, "b", B)
    put(folder, ".being-copied", C)
    (folder / "without-manifest").mkdir()
    (folder / "README").write_text("not weights")
    config, stop = CloudConfig(watch=folder), asyncio.Event()
    async with watching(config, registry, stop):
        assert registry.fingerprints == (A, B)


async def test_a_broken_folder_is_told_of_once_until_it_changes(
    folder: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(folder, registry)
    put(folder, "b", "half of")
    with caplog.at_level(logging.WARNING):
        await looks(watch, 5)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["watch"]
    put(folder, "b", B)
    await looks(watch)
    assert registry.fingerprints == (A, B)


async def test_a_folder_that_breaks_keeps_what_is_served(folder: Path, registry: Registry) -> None:
    watch = Watch(folder, registry)
    put(folder, "b", B)
    await watch.look()
    put(folder, "b", "overwritten badly")
    await looks(watch, 3)
    assert registry.fingerprints == (A, B)


async def test_other_weights_in_the_same_folder_take_its_place(
    folder: Path, registry: Registry
) -> None:
    watch = Watch(folder, registry)
    put(folder, "current", B)
    await watch.look()
    put(folder, "current", C)
    os.utime(folder / "current" / "manifest.json", (0, 0))
    await looks(watch)
    assert registry.fingerprints == (A, C)


async def test_the_default_stays_in_service_until_another_is_the_default(
    folder: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(folder, registry)
    gone = put(folder, "b", B)
    await watch.look()
    registry.make_default(B)
    shutil.rmtree(gone)
    with caplog.at_level(logging.WARNING):
        await looks(watch, 3)
    assert sum("stays in service" in record.getMessage() for record in caplog.records) == 1
    assert registry.fingerprints == (B, A)
    registry.make_default(A)
    await watch.look()
    assert registry.fingerprints == (A,)


async def test_what_an_operator_unloads_stays_unloaded(folder: Path, registry: Registry) -> None:
    watch = Watch(folder, registry)
    put(folder, "b", B)
    await watch.look()
    await registry.remove(B)
    await looks(watch, 3)
    assert registry.fingerprints == (A,)


async def test_a_directory_that_cannot_be_read_unloads_nothing(
    folder: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(folder, registry)
    put(folder, "b", B)
    await watch.look()
    os.rename(folder, folder.with_name("away"))
    with caplog.at_level(logging.WARNING):
        await looks(watch, 3)
    assert sum("cannot be read" in record.getMessage() for record in caplog.records) == 1
    assert registry.fingerprints == (A, B)


async def test_a_directory_that_was_never_there_stops_the_start(
    tmp_path: Path, registry: Registry
) -> None:
    config = CloudConfig(watch=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="watch"):
        async with watching(config, registry, asyncio.Event()):
            pass


async def test_a_stop_does_not_wait_for_the_first_look(folder: Path) -> None:
    slow = asyncio.Event()

    class Slow(Registry):
        async def add(self, folder: Path, default: bool = False) -> ServedWeights:
            await slow.wait()
            raise AssertionError("cancelled before")

    registry = Slow([played(A)], opened)
    put(folder, "b", B)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)
    async with watching(CloudConfig(watch=folder), registry, stop):
        assert stop.is_set()
    await registry.close()
