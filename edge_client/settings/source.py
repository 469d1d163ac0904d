"""Settings of what is looked at: a camera's pictures, and which part of them."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, ValidationError

from splitfer.shared.settings import Settings

_Share = Annotated[float, Field(ge=0, le=1)]
_Point = tuple[_Share, _Share]
_Shape = Annotated[tuple[_Point, ...], Field(min_length=2, max_length=100)]


OF_A_CAMERA = (
    "source", "source_name", "purpose", "max_fps", "frozen_s", "masks", "wait_source",
    "rtsp_transport", "heartbeat_s", "search_side_px", "search_every", "smallest_face_px",
    "smooth_s", "lost_s", "blur_faces",
)  # fmt: skip
"""What each of several cameras may have of its own."""


class SourceSettings(Settings):
    """What ``EdgeConfig`` has of a source beside its name."""

    max_fps: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="of a camera or video no more pictures a second than this are taken",
    )
    frozen_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="a camera whose picture is the same to the bit for so many seconds counts as "
        "away, and is opened again; 0 for never",
    )
    masks: Annotated[tuple[_Shape, ...], Field(max_length=100)] = Field(
        (),
        description="parts of the picture that are made grey before anything else: lists of points "
        "[x, y] in shares of width and height, two for opposite corners of a rectangle, more for "
        "a polygon",
    )
    cameras: Annotated[tuple[dict[str, Any], ...], Field(max_length=16)] = Field(
        (),
        description="several cameras in one run, in place of `source`: of each a table with its "
        "`source` and `source_name`, and where they differ "
        + ", ".join(f"`{name}`" for name in OF_A_CAMERA[2:]),
    )

    def each_camera(self) -> list[Self]:
        """The settings of each of several cameras.

        Raises:
            ValueError: a camera has a setting that is wrong, or none of a camera's; says which.
        """
        common = {**dict(self), "cameras": ()}
        configs = []
        for number, own in enumerate(self.cameras, 1):
            if unknown := sorted(own.keys() - set(OF_A_CAMERA)):
                known = ", ".join(OF_A_CAMERA)
                raise ValueError(
                    f"camera {number}: {unknown[0]} is no setting of a camera: {known}"
                )
            try:
                configs.append(type(self)(**{**common, **own}))
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, first["loc"]))
                message = first["msg"].removeprefix("Value error, ")
                raise ValueError(f"camera {number}: {place}: {message}") from None
        return configs
