"""A camera's sizes are not believed."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splitfer.edge_client.sources.video_decoder import MOST_PIXELS, VideoDecoder
from splitfer.shared.errors import SourceError

SIDE_PX = 16_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera's JPEG of 16,000 x 12,000 pixels in some 2 MB."""
    path = tmp_path_factory.mktemp("camera") / "large.mjpeg"
    Image.fromarray(np.zeros((12_000, SIDE_PX), np.uint8)).save(path, format="JPEG")
    return path


def test_a_picture_of_a_camera_is_no_larger_than_may_be(large: Path) -> None:
    with pytest.raises(SourceError, match=f"more than {MOST_PIXELS} pixels"):
        for _ in VideoDecoder(str(large), "camera", format="mjpeg").pictures(threading.Event()):
            pass


def test_no_room_is_made_for_it(large: Path) -> None:
    code = (
        "import resource, sys, threading\n"
        "from splitfer.edge_client.sources.video_decoder import VideoDecoder\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    camera = VideoDecoder(sys.argv[1], 'camera', format='mjpeg')\n"
        "    list(camera.pictures(threading.Event()))\n"
        "except Exception as error:\n"
        "    assert 'pixels' in str(error), error\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(large)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < SIDE_PX * 12_000 / 4
