from __future__ import annotations

import numpy as np

from benchmarks.common.machine import describe_machine
from benchmarks.device.codec import measure, moved_crops, table
from splitfer.shared.codec.entropy import EntropyTables
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.vision.crop import Cropping
from tests.fuzz.write_corpus import GOLDEN


def test_every_codec_is_measured_on_the_latents_it_is_given() -> None:
    golden = np.load(GOLDEN)
    tables = EntropyTables.from_bytes(golden["tables"].tobytes())
    codec = PayloadCodec(tables, tables.rates)
    pairs = zip(golden["symbols"], golden["rates"], strict=True)
    latents = [Latent(symbols, int(rate)) for symbols, rate in pairs]
    rows = [
        {"rate": "full", "codec": name, **measure(codec, name, latents, 4)} for name in codec.names
    ]
    sizes = {row["codec"]: row["bytes_mean"] for row in rows}
    assert sizes["raw"] == 6277
    assert sizes["entropy"] < 3000
    text = table(
        {
            "faces": len(latents),
            "of": "golden",
            "batch": 4,
            "rows": rows,
            "fingerprint": "f" * 16,
            "machine": describe_machine(),
        }
    )
    assert "6277.0" in text


def test_moved_faces_differ() -> None:
    crops, what = moved_crops(3, Cropping(1.2, 0.0, -0.1))
    assert crops.shape == (3, 224, 224)
    assert len({crop.tobytes() for crop in crops}) == 3
    assert "face" in what
