"""One recognizer for several videos, and for pictures in between: none has anything of another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.offload.asked_tracks import AskedTracks
from splitfer.edge_client.offload.open_frame import Video
from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.contracts import Answer, Box, LatencyMs
from splitfer.shared.labels import LabelSet

ASKED_ONCE = {"cascade_again_s": 3600.0}  # the second time would be after 225 s


@pytest.fixture(scope="module")
def face(astronaut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return astronaut[:300]


@pytest.fixture(scope="module")
def nobody(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.zeros_like(face)


@pytest.fixture
def recognizer() -> Iterator[Recognizer]:
    with Recognizer(search_every=100, **ASKED_ONCE) as opened:
        yield opened


def test_each_picture_is_searched_whole(
    recognizer: Recognizer, face: NDArray[np.uint8], nobody: NDArray[np.uint8]
) -> None:
    assert [len(recognizer.faces(one)) for one in (nobody, face, nobody, face)] == [0, 1, 0, 1]


def test_a_picture_between_two_frames_changes_nothing_for_the_video(
    recognizer: Recognizer, face: NDArray[np.uint8], nobody: NDArray[np.uint8]
) -> None:
    frames = iter([(0.0, nobody), (0.1, nobody), (0.2, face)])
    counts = []
    for faces, _ in recognizer.track(frames):
        counts.append(len(faces))
        assert len(recognizer.faces(face)) == 1
    assert counts == [0, 0, 1]


def test_videos_tracked_at_once_are_searched_apart(
    recognizer: Recognizer, face: NDArray[np.uint8], nobody: NDArray[np.uint8]
) -> None:
    empty = recognizer.track((step / 10, nobody) for step in range(4))
    busy = recognizer.track((step / 10, face) for step in range(4))
    counts = [(len(one), len(other)) for (one, _), (other, _) in zip(empty, busy, strict=True)]
    assert counts == [(0, 1)] * 4


def videos_of(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> list[Video]:
    """What the recognizer's frames are told to be of, as they come."""
    videos = []

    def note(rgb: Any, decoded_s: float, video: Video) -> list[Any]:
        videos.append(video)
        return []

    monkeypatch.setattr(recognizer._offload, "answer", note)
    return videos


def is_asked_about(tracks: AskedTracks, time_s: float) -> bool:
    """Whether the server is asked about an unsure face at this time, always in the same place."""
    face = PendingFace(Box(10, 10, 90, 90), 1.0)
    face.by_device(Answer((1 / 7,) * 7, "f/local", LabelSet.CROWD), LatencyMs(), None)
    worth = tracks.worth_asking(time_s, [face])
    tracks.asked([face], worth, together=True)
    return bool(worth)


def test_what_was_asked_about_one_videos_faces_says_nothing_of_anothers(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch, nobody: NDArray[np.uint8]
) -> None:
    videos = videos_of(recognizer, monkeypatch)
    for _ in range(2):
        list(recognizer.track([(0.0, nobody), (0.1, nobody)]))
    first, again, other, _ = (video.tracks for video in videos)
    assert first is again
    assert is_asked_about(first, 0.0)
    assert not is_asked_about(first, 0.5)
    assert is_asked_about(other, 0.5)


def test_a_camera_is_followed_as_its_own_settings_say(
    recognizer: Recognizer,
    monkeypatch: pytest.MonkeyPatch,
    nobody: NDArray[np.uint8],
) -> None:
    for name, lost_s in (("door", 1.0), ("garden", 0.1)):
        config = EdgeConfig(lost_s=lost_s, **ASKED_ONCE)
        recognizer.add_camera(name, config)
    videos = videos_of(recognizer, monkeypatch)
    for name in ("door", "garden"):
        recognizer.answer(nobody, 0.0, name, time_s=0.0)
    door, garden = (video.tracks for video in videos)
    assert [is_asked_about(door, time_s) for time_s in (0.0, 0.5)] == [True, False]
    assert [is_asked_about(garden, time_s) for time_s in (0.0, 0.5)] == [True, True]


def test_a_frame_that_is_none_is_refused(recognizer: Recognizer, face: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="expected uint8 of grey"):
        list(recognizer.track([(0.0, face.astype(np.float32))]))  # type: ignore[list-item]
    with pytest.raises(TypeError, match="not list"):
        list(recognizer.track([(0.0, face.tolist())]))
    grey, reversed_colours = face[..., 0], face[:, :, ::-1]
    assert [len(faces) for faces, _ in recognizer.track([(0, grey), (1, reversed_colours)])] == [
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ("clip.mp4", "not a file: decode it"),
        (Path("clip.mp4"), "not a file: decode it"),
        ([np.zeros((48, 48, 3), np.uint8)], "a frame is (seconds, array), not ndarray"),
        ([("now", np.zeros((48, 48, 3), np.uint8))], "time is in seconds, not str"),
        ([(0.0, "a.jpg")], "expected an array of uint8, not str"),
    ],
)
def test_what_are_no_frames_is_said_in_words(
    recognizer: Recognizer, frames: Any, said: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        list(recognizer.track(frames))
