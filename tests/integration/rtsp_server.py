"""Debian's gst-rtsp-server, for the system's Python: plays a clip of H.264 or a test picture.

/usr/bin/python3 rtsp_server.py CLIP.mp4    prints its port
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

_CHAINS = {
    "/clip": 'filesrc location="{clip}" ! qtdemux ! rtph264pay name=pay0 pt=96',
    "/test": "videotestsrc is-live=true "
    "! video/x-raw,format=I420,width=320,height=240,framerate=15/1 ! jpegenc "
    "! rtpjpegpay name=pay0 pt=26",
    "/sound": "audiotestsrc is-live=true ! audioconvert ! rtpL16pay name=pay0 pt=96",
}


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    for path, chain in _CHAINS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch("( " + chain.format(clip=sys.argv[1]) + " )")
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
