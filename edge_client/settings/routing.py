"""Settings of the choice between device and server, and of what is sent."""

from __future__ import annotations

from pydantic import Field

from splitfer.edge_client.choices import Objective, Policy
from splitfer.shared.settings import Settings


class RoutingSettings(Settings):
    """What decides which path answers a frame, and how finely it is sent."""

    policy: Policy | None = Field(None, description="auto where a server is named, else local")
    objective: Objective = Field(
        Objective.ACCURACY,
        description="what policy `auto` looks for among the ways that are in time",
    )
    min_accuracy: float = Field(
        0.0, ge=0, le=1, description="share of right answers that objective `bytes` asks for"
    )
    max_bytes_per_s: float | None = Field(
        None, gt=0, description="cap on what policies `auto` and `cascade` send"
    )
    auto_image: bool = Field(False, description="whether `auto` may send whole pictures")
    cascade_threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="policy `cascade` asks about faces with less confidence than this",
    )
    cascade_again_s: float = Field(
        1.0,
        ge=0,
        le=3600,
        description="in a video policy `cascade` asks about a face that stays below that again "
        "after so many seconds (at first sooner, from a sixteenth of it on), or where the device "
        "sees something else; 0 asks in each frame",
    )
    shadow_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="of the frames that ask the server: where the device answers too, for "
        "comparison",
    )
    deadline_ms: float = Field(
        150,
        gt=0,
        le=60_000,
        description="per frame, detection included (of a single picture 5000)",
    )
    rate: str = Field(
        "",
        description="how fine latents are sent, by name; the weights' default where none is named",
    )
    jpeg_quality: int = Field(85, ge=1, le=95, description="of the JPEG that path `image` sends")
