"""Pictures of a camera that `edge-client run` keeps: for a stated time, with faces unrecognisable
where that is asked for."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from splitfer.edge_client.sinks.kept_pictures import LIST
from splitfer.shared.weights import default_folder
from tests.network_camera import Camera, demo_jpegs
from tests.processes import Edge, wait_until


@pytest.fixture(scope="module")
def camera() -> Iterator[Camera]:
    with Camera(demo_jpegs()) as camera:
        yield camera


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("flag", ["--annotate", "--contact-sheet"])
def test_without_a_time_none_is_kept(flag: str, camera: Camera, tmp_path: Path) -> None:
    file = tmp_path / ("door.mp4" if flag == "--annotate" else "door.png")
    with Edge(tmp_path, default_folder(), flag, str(file), source=camera.source) as edge:
        wait_until(lambda: "keep_pictures_h" in edge.log(), "the refusal")
        assert flag in edge.log()
        assert edge.wait() == 2
    assert not file.exists()


def test_pictures_are_noted_and_those_whose_time_is_over_go(camera: Camera, tmp_path: Path) -> None:
    state = tmp_path / "state" / "splitfer"
    state.mkdir(parents=True)
    old = tmp_path / "door-old.mp4"
    old.write_bytes(b"of a run that was killed")
    (state / LIST).write_text(json.dumps({str(old): time.time() - 1}))
    flags = (
        "--annotate",
        str(tmp_path / "door.mp4"),
        "--contact-sheet",
        str(tmp_path / "door.png"),
        "--keep-pictures-h",
        "1",
    )
    with Edge(tmp_path, default_folder(), *flags, source=camera.source) as edge:
        edge.wait_for(lambda answers: len(answers) > 5, "answers")
        edge.signal(signal.SIGTERM)
        code, summary = edge.finish()
    assert code == 130, edge.log()
    assert not old.exists()
    (video,), (sheet,) = tmp_path.glob("door-*.mp4"), tmp_path.glob("door-*.png")
    noted = json.loads((state / LIST).read_text())
    assert set(noted) == {str(video), str(sheet)}
    assert all(0 < until_s - time.time() <= 3600 for until_s in noted.values())
    assert frames_of(video) == summary["frames"] - summary["dropped_frames"]
