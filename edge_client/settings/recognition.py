"""Settings of the recognition on the device: weights, search for faces, faces over time."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from splitfer.shared.contracts import Limits
from splitfer.shared.detectors import DetectorName
from splitfer.shared.labels import LabelSet
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.prior import UNCERTAIN_BELOW, Prior
from splitfer.shared.settings import Settings


class RecognitionSettings(Settings):
    """How the device finds faces, and what it answers."""

    threads: int = Field(1, ge=1, le=64, description="threads of ONNX Runtime, per network")
    weights: Path | None = Field(
        None, description="a folder of weights; the shipped ones where none is named"
    )
    weights_key: Path | None = Field(
        None,
        description="public key (PEM, Ed25519) of who publishes weights: where it is named, a run "
        "on a camera or stream takes newer weights from its server that are signed with it",
    )
    weights_every_h: float = Field(
        6.0, gt=0, le=24 * 366, description="how often the server is asked for newer weights, in h"
    )
    local_model: str = Field(
        BACKBONE,
        description="what answers on the device: `backbone`, or another model of the weights, such "
        "as `backbone-int8` where `edge-client bench` finds it quicker. Where fetched weights "
        "do not have it and the installed ones do, these are used",
    )
    labels: LabelSet | None = Field(
        None, description="whose labels the answers are; the weights' default where none is named"
    )
    prior: Prior | None = Field(
        None,
        description="how common the classes are taken to be: as in training (natural), or all "
        "alike (balanced). The default is natural where none is named",
    )
    uncertain_below: float = Field(
        UNCERTAIN_BELOW,
        ge=0,
        le=1,
        description="answers with less confidence than this are marked uncertain; 0 marks none. "
        "Confidence falls with the quality of the face's picture",
    )
    detector: DetectorName = Field(
        DetectorName.DLIB,
        description="what finds faces: dlib upright frontal ones of about 80 px and more in the "
        "searched picture, yunet also turned and small ones",
    )
    search_side_px: int = Field(
        480,
        ge=80,
        le=4096,
        description="longer side of the searched picture (of a single picture 4096): time grows "
        "with its square; how large a face must be in it says `detector`",
    )
    search_every: int = Field(
        1,
        ge=1,
        le=100,
        description="the whole of a video's frame is searched in every so many frames only; in "
        "between faces are looked for about where they were",
    )
    search_enlarged: bool = Field(
        False,
        description="whether pictures of less than 480 px are enlarged up to twofold before the "
        "search",
    )
    smallest_face_px: int = Field(
        Limits.smallest_face_px, ge=1, le=4096, description="smaller faces are not answered"
    )
    faces_per_frame: int = Field(
        Limits.faces_per_frame,
        ge=1,
        le=Limits.faces_per_frame,
        description="the largest so many faces of a picture are answered",
    )
    picture_pixels: int = Field(
        Limits.picture_pixels,
        ge=1,
        le=10**9,
        description="pixels of a picture; a larger one is reduced",
    )
    crops: bool = Field(
        False, description="whether each picture is a ready-cut face, in which none is searched for"
    )
    smooth_s: float = Field(
        2.0, gt=0, le=3600, description="seconds that the smoothed answer of a face looks back"
    )
    lost_s: float = Field(
        1.0, gt=0, le=3600, description="a face that is not found for so many seconds has left"
    )
