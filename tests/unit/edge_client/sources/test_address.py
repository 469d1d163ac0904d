from __future__ import annotations

import pytest

from splitfer.edge_client.sources.address import for_ffmpeg, shown
from splitfer.shared.errors import SourceError


@pytest.mark.parametrize(
    ("address", "shows"),
    [
        ("rtsp://me:hush@host:554/x?k=hush", "rtsp://host:554/x"),
        ("rtsp://me:hu/sh@host/x", "rtsp://host/x"),
        ("rtsp://me:hu#sh@host/x", "rtsp://host/x"),
        ("rtsp://me:hu?sh@host/x", "rtsp://host/x"),
        ("rtsp://me:[hush@host/x", "rtsp://host/x"),
        ("rtsp://me:hu@sh@host/x", "rtsp://host/x"),
        ("rtsp://host/h264?user=me&password=hush", "rtsp://host/h264"),
        (
            "rtsp://host:554/user=me_password=hush_channel=1_stream=0.sdp",
            "rtsp://host:554/user=***",
        ),
        (
            "rtsp://host/user=me&password=hush&channel=1",
            "rtsp://host/user=***&password=***&channel=1",
        ),
        ("http://host/live/token=hush/a.m3u8", "http://host/live/token=***/a.m3u8"),
        ("http://host/monkey=1", "http://host/monkey=1"),
        ("rtsp://[2001:db8::1]:554/x", "rtsp://[2001:db8::1]:554/x"),
    ],
)
def test_no_password_is_shown(address: str, shows: str) -> None:
    assert shown(address) == shows


@pytest.mark.parametrize(
    ("address", "given"),
    [
        ("rtsp://me:hu/sh@host/x", "rtsp://me:hu%2Fsh@host/x"),
        ("rtsp://me:h#u?s[h@host/x", "rtsp://me:h%23u%3Fs%5Bh@host/x"),
        ("rtsp://me:hu@sh@host/x", "rtsp://me:hu%40sh@host/x"),
        ("rtsp://me:hu%2Fsh@host/x", "rtsp://me:hu%2Fsh@host/x"),
        ("rtsp://me:hush@host/x?mail=a@b", "rtsp://me:hush@host/x?mail=a@b"),
        ("http://host/x?mail=a@b", "http://host/x?mail=a@b"),
        ("rtsp://[2001:db8::1]:554/x", "rtsp://[2001:db8::1]:554/x"),
    ],
)
def test_a_password_reaches_ffmpeg_whole(address: str, given: str) -> None:
    assert for_ffmpeg(address) == given


@pytest.mark.parametrize(
    "address", ["rtsp://", "rtsp:///x", "rtsp://me:[hush@", "rtsp://me:[hush@/x"]
)
def test_an_address_without_a_host_is_one_line_without_the_password(address: str) -> None:
    with pytest.raises(SourceError, match="no host") as caught:
        for_ffmpeg(address)
    assert "hush" not in str(caught.value)
