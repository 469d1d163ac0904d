"""SplitFER in two lines of Python.

with Recognizer(server="192.0.2.7:50051") as recognizer:
    for face in recognizer.faces("portrait.jpg"):
        print(face.label, face.confidence, face.box, face.path)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.address import parse_address
from splitfer.edge_client.choices import Policy
from splitfer.edge_client.config import EdgeConfig, program_config
from splitfer.edge_client.device import Device, Search
from splitfer.edge_client.link.channel import open_channel
from splitfer.edge_client.link.counts import LinkCounts
from splitfer.edge_client.link.diagnosis import diagnose
from splitfer.edge_client.link.link import HANDSHAKE_TIMEOUT_S, Link
from splitfer.edge_client.offload.asked_tracks import AskedTracks
from splitfer.edge_client.offload.offload import Offload
from splitfer.edge_client.offload.open_frame import Video
from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.policy.router import make_router
from splitfer.edge_client.sources.picture import PictureLike, picture_of, rgb_of_array
from splitfer.edge_client.tracing import open_tracing
from splitfer.edge_client.tracking.carried import CarriedDetector
from splitfer.edge_client.tracking.faces import FaceEvent, TrackedFaces
from splitfer.shared.certificates import read_certificates
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.errors import ConfigError

# A server that is down refuses at once; longer than a handshake may take, so that its outcome is
# known before the first face.
CONNECT_WAIT_S = HANDSHAKE_TIMEOUT_S + 0.2


@dataclass(frozen=True)
class _Followed:
    """What is kept of one video between its frames: where its faces were, and what was asked."""

    search: CarriedDetector
    asked: AskedTracks


class Recognizer:
    """Finds faces in pictures and names their expression. Thread-safe; a context manager.

    With ``server`` the policy chooses the path of each picture, and the device answers where the
    server cannot; without one every answer is `local`. Further ``settings`` are those of
    ``EdgeConfig`` but what a command alone obeys (sources, outputs, a device's privacy); those that
    are not given come from ``SPLITFER_EDGE_*`` variables. A process that is forked off with one has
    it for the device alone; one that is to ask the server makes its own.

    Raises:
        ConfigError: a setting is wrong; the message names it.
        WeightsError: the weights are missing, altered, or give wrong numbers on this machine.
    """

    def __init__(self, server: str | None = None, **settings: Any) -> None:
        self._open(program_config({"server": server, **settings}))

    @classmethod
    def from_config(cls, config: EdgeConfig) -> Recognizer:
        """A recognizer with settings that were loaded already."""
        recognizer = cls.__new__(cls)
        recognizer._open(config)
        return recognizer

    def _open(self, config: EdgeConfig) -> None:
        self._config = config
        certificates = read_certificates(config.server_ca, config.client_cert, config.client_key)
        device = Device(config)
        self.fingerprint = device.fingerprint
        self._tracing = open_tracing(config.otlp_endpoint)
        self._link: Link | None = None
        if config.server is not None:
            address = parse_address(config.server)
            self._link = Link(
                partial(
                    open_channel, str(address), certificates.ca, certificates.cert, certificates.key
                ),
                device.fingerprint,
                device.codecs,
                config.token.get_secret_value() if config.token else None,
                tracing=self._tracing,
                stream=config.stream,
                labels=device.label_set,
                server=str(address),
                diagnose=partial(diagnose, address, certificates),
            )
            self._link.wait_for_handshake(CONNECT_WAIT_S)
        self._device = device
        self._cameras: dict[str | None, EdgeConfig] = {None: config}
        self._answer_by(config)
        # dlib's detector and the deadline's measurements belong to one frame at a time.
        self._one_frame = threading.Lock()

    def choose_policy(self, policy: Policy) -> None:
        """Answer by another policy from the next frame on; what the old one learnt is forgotten.

        Raises:
            ConfigError: it needs a server, and none is named; or it does not go with the settings.
        """
        try:
            config = EdgeConfig(**{**dict(self._config), "policy": policy})
        except ValueError as error:
            raise ConfigError(f"policy {policy.value}: {error}") from error
        with self._one_frame:
            self._config = config
            self._answer_by(config)

    def _answer_by(self, config: EdgeConfig) -> None:
        device = self._device
        self._router = make_router(config, device.manifest, device.rate, device.label_set)
        cascade = config.cascade_threshold if config.effective_policy is Policy.CASCADE else None
        # By camera: each has faces of its own.
        self._followed: dict[str | None, _Followed] = {}
        self._offload = Offload(
            device,
            self._link,
            self._router,
            config.deadline_ms,
            config.jpeg_quality,
            cascade,
            config.uncertain_below,
            config.faces_per_frame,
        )

    def faces(self, image: PictureLike) -> list[FaceAnswer]:
        """The faces of a picture, the largest first, each with one answer; often none.

        ``image`` is a path, the bytes of a picture file (JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF,
        HEIC) or such a file opened in binary mode, a Pillow picture, or an array uint8 of grey
        ``(H, W)``, RGB ``(H, W, 3)`` or RGBA ``(H, W, 4)``. Boxes count in its own pixels, turned
        upright.

        Raises:
            SourceError: the path cannot be read.
            ImageError, PayloadTooLarge: the bytes are not a picture that is read here.
            ValueError: the array is another one.
            TypeError: it is nothing of these.
        """
        picture = picture_of(image, self._config.picture_pixels)
        faces = self.answer(picture.rgb, time.monotonic())
        by = picture.reduced_by
        return [replace(face, box=face.box.scaled(by)) for face in faces] if by != 1 else faces

    def track(
        self, frames: Iterable[tuple[float, NDArray[np.uint8]]]
    ) -> Iterator[tuple[list[FaceAnswer], list[FaceEvent]]]:
        """The faces of a video's frames, each a time in seconds and RGB uint8 ``(H, W, 3)``, and
        what happened to them: each face has a number (``track``) that stays with it, and what it
        showed lately (``smoothed``). Times do not fall. Several videos may be tracked at once, and
        grey or RGBA arrays are taken as by ``faces``. Frames are searched as finely as pictures:
        ``Recognizer(search_side_px=480, deadline_ms=150)`` is as quick as ``edge-client run``.

        Raises:
            ValueError: the array of a frame is another one.
            TypeError: a frame has none, or no time.
        """
        if isinstance(frames, str | bytes | os.PathLike):
            raise TypeError("track takes frames, each (seconds, array), not a file: decode it")
        tracks = TrackedFaces(self._config.smooth_s, self._config.lost_s)
        followed = self._follow(None)
        for one in frames:
            if not isinstance(one, tuple | list) or len(one) != 2:
                raise TypeError(f"a frame is (seconds, array), not {type(one).__name__}")
            time_s, frame = one
            if not isinstance(time_s, Real):
                raise TypeError(f"a frame's time is in seconds, not {type(time_s).__name__}")
            rgb = rgb_of_array(frame)
            decoded_s, video = time.monotonic(), Video(time_s, followed.asked)
            with self._one_frame:
                faces = self._answer(rgb, decoded_s, followed.search, video)
            yield tracks.follow(time_s, faces)

    def add_camera(self, name: str, config: EdgeConfig) -> None:
        """One more camera, in which faces are searched for and followed as its settings say."""
        self._device.add_camera(name, config)
        self._cameras[name] = config

    def answer(
        self,
        rgb: NDArray[np.uint8],
        decoded_s: float,
        camera: str | None = None,
        *,
        time_s: float | None = None,
    ) -> list[FaceAnswer]:
        """The faces of RGB uint8 ``(H, W, 3)`` decoded at the monotonic instant ``decoded_s``, of
        the ``camera`` of this name where several were added. Of a video whose faces are followed,
        ``time_s`` is when it is shown."""
        with self._one_frame:
            if time_s is None:
                return self._answer(rgb, decoded_s, self._device.detector(camera), None)
            if camera not in self._followed:
                self._followed[camera] = self._follow(camera)
            followed = self._followed[camera]
            return self._answer(rgb, decoded_s, followed.search, Video(time_s, followed.asked))

    def _follow(self, camera: str | None) -> _Followed:
        config = self._cameras[camera]
        return _Followed(
            CarriedDetector(self._device.detector(camera), config.search_every),
            AskedTracks(
                config.cascade_threshold, config.cascade_again_s, config.smooth_s, config.lost_s
            ),
        )

    def _answer(
        self, rgb: NDArray[np.uint8], decoded_s: float, search: Search, video: Video | None
    ) -> list[FaceAnswer]:
        with self._tracing.frame() as frame:
            self._device.turn_to(search)
            faces = self._offload.answer(rgb, decoded_s, video)
            frame.answered(faces)
            return faces

    def learn(self) -> None:
        """Learn from the last frame for the policy's estimates, once its answers are given on. It
        need not be called: then the next frame begins with it."""
        with self._one_frame:
            self._offload.learn()

    @property
    def link_counts(self) -> LinkCounts:
        """What crossed the link so far."""
        return self._link.counts if self._link else LinkCounts()

    def link_report(self) -> dict[str, Any] | None:
        """The server, whether it can be used, and the last failure: see docs/device/records.md.
        None without a server."""
        return self._link.report() if self._link else None

    @property
    def server_away(self) -> bool:
        """Whether a server is named and cannot be used now."""
        return self._link is not None and self._link.refusal is not None

    @property
    def decision(self) -> Decision | None:
        """Of the last frame: its path and why; None where there was nothing to decide."""
        decision = self._router.decision
        if decision is None or decision.refusal is None or self._link is None:
            return decision
        return replace(decision, cause=self._link.cause)

    def policy_report(self) -> dict[str, Any]:
        """What the policy did so far: see docs/device/records.md."""
        return self._router.report()

    def close(self) -> None:
        """Hang up."""
        if self._link is not None:
            self._link.close()
        self._tracing.close()

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
