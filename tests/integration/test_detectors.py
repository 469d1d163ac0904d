"""A face that dlib does not find is found where another detector is set: device and server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.pictures.reader import PictureReader
from splitfer.edge_client import cli
from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.deadline import Deadline
from splitfer.shared.weights import Weights


@pytest.fixture
def turned(tmp_path: Path, astronaut: NDArray[np.uint8]) -> Path:
    """A photograph turned by 60 degrees."""
    path = tmp_path / "turned face.png"
    Image.fromarray(astronaut).rotate(60, Image.Resampling.BICUBIC).save(path)
    return path


def near_the_face(x: float, y: float) -> bool:
    """Whether it lies about where her face (224, 110) is turned to."""
    return abs(x - 127) < 35 and abs(y - 228) < 35


def test_on_a_device(turned: Path, weights_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["classify", str(turned), "--weights", str(weights_folder)]
    assert cli.main(command) == 0
    told = capfd.readouterr()
    assert told.out == ""
    assert "--detector yunet" in told.err
    assert cli.main([*command, "--detector", "yunet"]) == 0
    told = capfd.readouterr()
    x, y, w, h = json.loads(told.out)["box"]
    assert near_the_face(x + w / 2, y + h / 2)
    assert told.err == ""


def test_from_python(turned: Path, weights_folder: Path) -> None:
    with Recognizer(weights=weights_folder, detector="yunet") as recognizer:
        (face,) = recognizer.faces(turned)
    assert near_the_face(face.box.x + face.box.w / 2, face.box.y + face.box.h / 2)


@pytest.mark.parametrize(("detector", "faces"), [("dlib", 0), ("yunet", 1)])
def test_on_the_server(turned: Path, weights_folder: Path, detector: str, faces: int) -> None:
    reader = PictureReader(
        CloudConfig(detector=detector, picture_threads=1, _env_file=None), ByteBudget(2**30)
    )
    crop = Weights(weights_folder).manifest.crop
    try:
        read = asyncio.run(reader.read(turned.read_bytes(), crop, Deadline.after_ms(60_000)))
    finally:
        reader.close()
    assert len(read.boxes) == len(read.crops) == faces
    for box in read.boxes:
        assert near_the_face(box.x + box.w / 2, box.y + box.h / 2)
