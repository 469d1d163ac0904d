from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.weights.registry import Registry
from splitfer.cloud_server.weights.served import ServedWeights
from splitfer.shared.errors import ModelMismatch, NotReady, RefusedChange, WeightsError
from splitfer.shared.weights import default_folder
from tests.unit.cloud_server.weights.played_weights import PlayedFolders, answer, played

A, B = "a" * 16, "b" * 16


def registry_of(folders: PlayedFolders) -> Registry:
    registry = Registry([played(A)], folders)
    registry.start()
    return registry


async def test_what_is_added_answers_and_is_the_default_where_asked() -> None:
    folders = PlayedFolders()
    folders.contents = {"b": (B, 1)}
    registry = registry_of(folders)
    await registry.add(Path("b"))
    assert (registry.default.fingerprint, registry.fingerprints) == (A, (A, B))
    await registry.add(Path("b"), default=True)  # they are served already: a switch alone
    assert (registry.fingerprints, registry.previous) == ((B, A), A)
    assert await answer(registry.weights(B)) == (f"{B}/cloud", 1)
    await registry.close()


async def test_a_broken_folder_changes_nothing() -> None:
    folders = PlayedFolders()
    folders.contents = {"broken": None}
    registry = registry_of(folders)
    with pytest.raises(WeightsError, match="broken"):
        await registry.add(Path("broken"), default=True)
    assert registry.fingerprints == (A,)
    assert await answer(registry.default) == (f"{A}/cloud", 0)
    await registry.close()


async def test_whatever_an_opening_raises_is_told_in_one_line() -> None:
    def fails(*_: object) -> ServedWeights:
        raise RuntimeError("Got invalid dimensions\nfor input: crop")

    registry = Registry([played(A)], fails)
    with pytest.raises(WeightsError, match="odd cannot be used: Got invalid dimensions for input"):
        await registry.add(Path("odd"))
    await registry.close()


async def test_answers_go_on_while_weights_load() -> None:
    folders = PlayedFolders(held=True)
    folders.contents = {"b": (B, 1)}
    registry = registry_of(folders)
    loading = asyncio.create_task(registry.add(Path("b")))
    assert await asyncio.to_thread(folders.begun.acquire, timeout=60)
    assert await answer(registry.default) == (f"{A}/cloud", 0)
    assert not loading.done()
    folders.go.release()
    await loading
    await registry.close()


async def test_an_unloading_waits_for_its_requests_and_takes_no_new_ones() -> None:
    registry = Registry([played(A), played(B)], PlayedFolders())
    registry.start()
    served = registry.weights(B)
    with served.request():
        unloading = registry.remove(B)
        with pytest.raises(ModelMismatch, match=A):
            registry.weights(B)
        assert await answer(served) == (f"{B}/cloud", 0)
        assert [weights.fingerprint for weights in registry.leaving] == [B]
        assert not unloading.done()
    await unloading
    assert registry.leaving == ()
    with pytest.raises(NotReady):
        await answer(served)
    await registry.close()


async def test_new_tails_behind_the_same_head_replace_the_old_ones() -> None:
    folders = PlayedFolders()
    folders.contents = {"better": (A, 7)}
    registry = registry_of(folders)
    before = registry.default
    with before.request():
        await registry.add(Path("better"))
        assert await answer(registry.default) == (f"{A}/cloud", 7)
        assert await answer(before) == (f"{A}/cloud", 0)
    assert registry.fingerprints == (A,)
    await registry.close()


async def test_the_default_cannot_be_unloaded_nor_the_unknown() -> None:
    registry = registry_of(PlayedFolders())
    with pytest.raises(RefusedChange, match="is the default"):
        registry.remove(A)
    with pytest.raises(RefusedChange, match="no weights"):
        registry.remove(B)
    assert registry.fingerprints == (A,)
    await registry.close()


async def test_closing_ends_a_load_that_is_under_way() -> None:
    folders = PlayedFolders(held=True)
    folders.contents = {"b": (B, 1), "later": (B, 2)}
    registry = registry_of(folders)
    loads = [asyncio.create_task(registry.add(Path(name))) for name in ("b", "later")]
    assert await asyncio.to_thread(folders.begun.acquire, timeout=60)
    await registry.close()
    folders.go.release()
    for load in loads:
        with pytest.raises(NotReady):
            await load
    with pytest.raises(NotReady):
        await registry.add(Path("b"))


async def test_where_nothing_opens_folders_nothing_changes() -> None:
    registry = Registry([played(A), played(B)])
    registry.start()
    changes = (registry.roll_back, lambda: registry.make_default(B), lambda: registry.remove(B))
    for change in changes:
        with pytest.raises(RefusedChange, match="fixed"):
            change()
    with pytest.raises(RefusedChange, match="fixed"):
        await registry.add(Path("b"))
    await registry.close()


async def test_unloaded_networks_leave_the_memory_without_the_garbage_collector(
    old_weights_folder: Path,
) -> None:
    registry = Registry.load(CloudConfig(weights=(default_folder(),)))
    registry.start()
    gc.disable()
    try:
        served = await registry.add(old_weights_folder)
        networks = [weakref.ref(served.head), weakref.ref(served.tail("")._tail)]
        del served
        await registry.remove(old_weights_folder.name)
        # The thread that loaded them lets go a moment later.
        async with asyncio.timeout(60):
            while any(network() is not None for network in networks):
                await asyncio.to_thread(lambda: None)
    finally:
        gc.enable()
        await registry.close()
