"""Settings of the source: a camera's pictures, which part of them, several cameras."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator

from splitfer.edge_client.source_name import PRINTABLE_NAME, names_a_path
from splitfer.shared.settings import PathWhere, Settings

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
    """Where pictures come from."""

    source: Annotated[str | None, PathWhere(names_a_path)] = Field(
        None, description="what `run` reads, as --source names it"
    )
    source_name: str | None = Field(
        None, pattern=PRINTABLE_NAME, description="what records call the source, beside its address"
    )
    wait_source: bool = Field(
        True, description="whether a camera or stream that is not there at the start is waited for"
    )
    rtsp_transport: Literal["tcp", "udp"] = Field(
        "tcp",
        description="how the pictures of an rtsp:// address come; the other is tried where the "
        "camera refuses",
    )
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

    @field_validator("source", mode="before")
    @classmethod
    def _may_be_a_camera(cls, source: object) -> object:
        # 0 is a number in YAML and TOML.
        return str(source) if isinstance(source, int) and not isinstance(source, bool) else source

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
