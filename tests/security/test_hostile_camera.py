"""A camera's sizes are not believed."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splitfer.edge_client.sources.decoder import MOST_PIXELS
from splitfer.edge_client.sources.decoder_process import MOST_BYTES
from splitfer.edge_client.sources.live import Stream
from splitfer.edge_client.sources.open import open_source
from splitfer.edge_client.sources.video_decoder import VideoDecoder
from splitfer.shared.errors import SourceError
from tests.camera import Act, Camera, Connection, jpeg
from tests.processes import child_processes

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


def honest(connection: Connection) -> None:
    connection.pictures()


def two_gigabytes(connection: Connection) -> None:
    connection.begin()
    connection.write(
        b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 2147483647\r\n\r\n\xff\xd8"
    )
    for _ in range(2048):
        connection.write(bytes(2**20))


def two_gigabytes_after_pictures(connection: Connection) -> None:
    connection.pictures(30)
    two_gigabytes(connection)


def gigantic(large: Path) -> Act:
    def act(connection: Connection) -> None:
        connection.pictures(30)
        picture = large.read_bytes()
        while not connection.closed.wait(0.01):
            connection.part(picture)

    return act


def most_resident_bytes(pid: int | str) -> int:
    """Of a process, ever; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


@pytest.mark.parametrize("kind", ["at once", "later", "gigantic"])
def test_a_camera_that_asks_for_gigabytes_costs_its_own_process_a_bounded_part(
    kind: str, large: Path
) -> None:
    act = {"at once": two_gigabytes, "later": two_gigabytes_after_pictures}.get(kind)
    ours_before = most_resident_bytes("self")
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], *map(most_resident_bytes, child_processes()), 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with Camera([act or gigantic(large), honest]) as camera:
        source = open_source(camera.address, wait=True)
        assert isinstance(source, Stream)
        # A camera that came to its senses is looked at again.
        for frame in source:
            if len(camera.requests) > 1 and frame.index > 10:
                break
        source.close()
    over.set()
    watcher.join()
    print(f"{kind}: {most[0] / 2**20:.0f} MiB in the process")
    assert 0 < most[0] < MOST_BYTES + 100 * 2**20
    assert most_resident_bytes("self") - ours_before < 100 * 2**20


def test_pictures_may_have_any_width_and_another_each_time() -> None:
    sizes = [(width, 48) for width in (640, 1366, 66, 67, 1080, 854)]

    def act(connection: Connection) -> None:
        connection.begin()
        for number in range(10**6):
            if connection.closed.wait(0.01):
                return
            connection.part(jpeg(number, *sizes[number % len(sizes)]))

    seen = set()
    with Camera([act]) as camera, open_source(camera.address) as source:
        for frame in source:
            assert source.reopened == 0
            height, width, _ = frame.rgb.shape
            assert frame.rgb.std() < 1  # grey all over
            seen.add((width, height))
            if len(seen) == len(sizes):
                break
    assert seen == set(sizes)


@pytest.mark.parametrize("kind", ["application/vnd.apple.mpegurl", "text/plain", "video/mp4"])
def test_a_playlist_leads_nowhere(kind: str) -> None:
    with Camera([honest]) as other:
        lines = [
            "#EXTM3U",
            "#EXT-X-TARGETDURATION:2",
            "#EXTINF:2,",
            other.address,
            "#EXT-X-ENDLIST",
            "",
        ]

        def playlist(connection: Connection) -> None:
            connection.begin(kind)
            connection.write("\n".join(lines).encode())

        with Camera([playlist]) as camera:
            for address in (camera.address, f"{camera.address}.m3u8"):
                with pytest.raises(SourceError) as caught:
                    open_source(address)
        assert other.requests == []
    if "mpegurl" in kind:
        assert "name the stream's own address" in str(caught.value)


@pytest.mark.parametrize("where", ["another camera", "file:///etc/passwd"])
def test_a_redirect_is_not_followed(where: str) -> None:
    with Camera([honest]) as other:
        target = other.address if where == "another camera" else where
        with (
            Camera([lambda connection: connection.redirect(target)]) as camera,
            pytest.raises(SourceError),
        ):
            open_source(camera.address)
        assert other.requests == []


def test_a_description_leads_nowhere() -> None:
    """SDP, which names where its media come from."""
    with Camera([honest]) as other:
        port = other.address.rpartition(":")[2].partition("/")[0]
        sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        sdp += f"m=video {port} RTP/AVP 26\r\n"

        def described(connection: Connection) -> None:
            connection.begin("application/sdp")
            connection.write(sdp.encode())

        with Camera([described]) as camera, pytest.raises(SourceError):
            open_source(f"{camera.address}.sdp")
