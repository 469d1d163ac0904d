import asyncio
import json
import struct
import threading
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image, ImageFilter

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.tail import RateTable, ServedTail
from splitfer.cloud_server.server.parts import Parts
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.contracts import SCHEMA_VERSION, Answer, Limits
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    ConfigError,
    DeadlineExceeded,
    InferenceFailed,
    ModelMismatch,
    NotReady,
    Overloaded,
    PayloadTooLarge,
    SplitFerError,
    WeightsError,
)
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import DEFAULT_PRIOR, Prior
from splitfer.shared.vision.crop import crop_face
from splitfer.shared.vision.detection import SearchLimits, open_detector
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.runtime import softmax
from tests.unit.cloud_server.pictures.made_pictures import BAD, encoded, grey

pytestmark = pytest.mark.asyncio(loop_scope="module")

SYMBOLS = np.random.default_rng(0).integers(113, 144, (5, 8, 28, 28), dtype=np.uint8)
CODEC = PayloadCodec(None, 1)
PAYLOADS = [CODEC.encode(Latent(symbols, 0)) for symbols in SYMBOLS]
# As from a broken encoder: the checksum fits, the body is no latent's.
WRONG_BODY = struct.pack(">BI", 1, zlib.crc32(b"\x01abc")) + b"abc"


def soon() -> Deadline:
    return Deadline.after_ms(30_000)


class StuckTail:
    """A tail that answers when it is let go, and fails on latents that begin with 255."""

    def __init__(self) -> None:
        self.go, self.begun, self.runs = threading.Event(), threading.Event(), 0

    def run_all(self, symbols: np.ndarray, *_: Any) -> dict[LabelSet, np.ndarray]:
        self.runs += 1
        self.begun.set()
        assert self.go.wait(60)
        rows = np.full((len(symbols), 7), 1 / 7, np.float32)
        rows[symbols[:, 0, 0, 0] == 255] = np.nan
        return {LabelSet.FER2013: rows}


def config_of(weights_folder: Path, **settings: Any) -> CloudConfig:
    return CloudConfig(weights=(weights_folder,), **{"picture_threads": 1, **settings})


def with_tail(weights_folder: Path, tail: Any, **settings: Any) -> Parts:
    config = config_of(weights_folder, **settings)
    real = Registry.load(config).default
    rates = RateTable(
        ("f/r",), np.ones((1, 8), np.float32), {LabelSet.FER2013: np.ones(1, np.float32)}
    )
    served = ServedTail(f"{real.fingerprint}/cloud", tail, CODEC, rates, config)
    return Parts(config, Registry([replace(real, tails={"cloud": served})]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(weights_folder: Path) -> AsyncIterator[Service]:
    config = config_of(weights_folder)
    parts = Parts(config, Registry.load(config))
    parts.start()
    yield parts.service
    await parts.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stuck_parts(weights_folder: Path) -> AsyncIterator[tuple[Parts, StuckTail]]:
    tail = StuckTail()
    parts = with_tail(weights_folder, tail)
    parts.start()
    yield parts, tail
    tail.go.set()
    await parts.close()


@pytest.fixture
def stuck(stuck_parts: tuple[Parts, StuckTail]) -> tuple[Service, StuckTail]:
    parts, tail = stuck_parts
    return parts.service, tail


async def infer(service: Service, *payloads: bytes, deadline: Deadline | None = None) -> list[Any]:
    fingerprint = service.model().fingerprint
    return (await service.infer(fingerprint, "", payloads, deadline or soon())).results


async def assert_fine(service: Service) -> None:
    """Nothing that happened before disturbs a good request."""
    (result,) = await infer(service, PAYLOADS[0])
    assert isinstance(result, Answer)


async def begun(tail: StuckTail) -> None:
    assert await asyncio.to_thread(tail.begun.wait, 60)


async def test_answers_are_the_tails_in_order(service: Service, weights_folder: Path) -> None:
    weights = Weights(weights_folder)
    temperatures = np.full(len(SYMBOLS), weights.temperature("cloud", 0), np.float32)
    expected = weights.tail("cloud", 1).run(SYMBOLS, weights.quantiser.steps(0), temperatures)
    inferred = await service.infer(weights.manifest.fingerprint, "cloud", PAYLOADS, soon())
    for result, row in zip(inferred.results, expected, strict=True):
        assert isinstance(result, Answer)
        assert result.model == f"{weights.manifest.fingerprint}/cloud"
        np.testing.assert_allclose(result.probabilities, row, atol=1e-5)
    times = inferred.latency_ms
    assert times.tail is not None
    assert times.total is not None
    assert 0 < times.tail <= times.total
    assert times.detect is times.head is None


async def test_faces_of_different_rates_share_a_batch(weights_copy: Path) -> None:
    manifest = json.loads((weights_copy / "manifest.json").read_text())
    for index, rate in enumerate(manifest["rates"]):
        rate["answers"] = {"cloud": {"fer2013": {"temperature": 1.0 + index}}}
    (weights_copy / "manifest.json").write_text(json.dumps(manifest))
    weights = Weights(weights_copy)
    tail = weights.tail("cloud", 1)
    runs: list[int] = []

    class CountedTail:
        def run_all(self, symbols: np.ndarray, *rest: Any) -> dict[LabelSet, np.ndarray]:
            runs.append(len(symbols))
            return tail.run_all(symbols, *rest)

    config = config_of(weights_copy, batch_max=16)
    registry = Registry.load(config)
    registry.default.tail("")._tail = CountedTail()  # type: ignore[assignment]
    parts = Parts(config, registry)
    service = parts.service
    parts.start()
    rates = [2, 0, 1, 0, 2]
    latents = [Latent(symbols, rate) for symbols, rate in zip(SYMBOLS, rates, strict=True)]
    results = await infer(service, *map(weights.payload_codec.encode, latents))
    assert runs == [5]
    for latent, result in zip(latents, results, strict=True):
        steps = weights.quantiser.steps(latent.rate)
        logits = tail.logits(latent.symbols[None], steps)
        expected = softmax(logits / np.float32(1 + latent.rate))[0]
        np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
    assert parts.metrics.latents == {
        f"{weights_copy.name}/{name}": n for name, n in (("high", 2), ("default", 1), ("low", 2))
    }
    await parts.close()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "malformed_payload"),
        (PAYLOADS[1][:-1], "malformed_payload"),
        (PAYLOADS[1] + b"x", "too_large"),
        (b"\xee" + PAYLOADS[1][1:], "malformed_payload"),
        (PAYLOADS[1][:1] + b"0000" + PAYLOADS[1][5:], "malformed_payload"),
        (WRONG_BODY, "malformed_payload"),
    ],
    ids=["empty", "truncated", "too long", "unknown codec", "wrong checksum", "wrong body"],
)
async def test_one_bad_payload_never_fails_its_frame(
    service: Service, payload: bytes, code: str
) -> None:
    good, bad, also_good = await infer(service, PAYLOADS[0], payload, PAYLOADS[2])
    assert isinstance(bad, SplitFerError)
    assert bad.code == code
    alone = await infer(service, PAYLOADS[0]) + await infer(service, PAYLOADS[2])
    for got, expected in zip((good, also_good), alone, strict=True):
        np.testing.assert_allclose(got.probabilities, expected.probabilities, atol=1e-5)


async def test_what_cannot_be_read_costs_no_run(stuck: tuple[Service, StuckTail]) -> None:
    service, tail = stuck
    (bad,) = await infer(service, WRONG_BODY)
    assert bad.code == "malformed_payload"
    assert tail.runs == 0
    tail.go.set()
    await assert_fine(service)


async def test_a_frame_without_faces_has_no_results(service: Service) -> None:
    assert await infer(service) == []


async def test_requests_that_are_wrong_as_a_whole(service: Service) -> None:
    fingerprint = service.model().fingerprint
    with pytest.raises(PayloadTooLarge, match="33 faces in one frame; at most 32"):
        await infer(service, *[b""] * 33)
    with pytest.raises(PayloadTooLarge, match="at most 262144"):
        await infer(service, bytes(262145))
    with pytest.raises(ModelMismatch, match=f"weights '0000'; served: {fingerprint}"):
        await service.infer("0000", "", PAYLOADS, soon())
    with pytest.raises(ModelMismatch) as raised:
        await service.infer("x" * 100_000, "", PAYLOADS, soon())
    assert len(str(raised.value)) < 200  # it travels in a header
    with pytest.raises(ModelMismatch, match="no tail 'local'"):
        await service.infer(fingerprint, "local", PAYLOADS, soon())
    with pytest.raises(DeadlineExceeded):
        await infer(service, PAYLOADS[0], deadline=Deadline.after_ms(-1))
    await assert_fine(service)


async def test_the_handshake_says_what_is_served(service: Service, weights_folder: Path) -> None:
    model = service.model()
    assert model.schema_version == SCHEMA_VERSION
    assert model.fingerprint == weights_folder.name
    assert model.labels == LABELS
    assert model.tails == ("cloud",)
    assert "raw" in model.codecs
    assert model.limits == Limits()
    assert model.served == (weights_folder.name,)
    assert service.model("0123456789abcdef") == model, "the caller sees that it has others"


async def test_a_late_answer_is_given_up_and_the_next_comes(stuck: Any) -> None:
    service, tail = stuck
    late = asyncio.create_task(infer(service, *PAYLOADS[:2], deadline=Deadline.after_ms(50)))
    assert [type(result) for result in await late] == [DeadlineExceeded] * 2
    tail.go.set()
    await assert_fine(service)


async def test_a_caller_that_gives_up_frees_its_faces(stuck: Any) -> None:
    service, tail = stuck
    first = asyncio.create_task(infer(service, PAYLOADS[0]))
    await begun(tail)
    waiting = asyncio.create_task(infer(service, PAYLOADS[1]))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    tail.go.set()
    assert isinstance((await first)[0], Answer)
    assert tail.runs == 1


async def test_a_face_that_poisons_the_tail_fails_alone(stuck: Any) -> None:
    service, tail = stuck
    tail.go.set()
    poison = PayloadCodec(None, 1).encode(Latent(np.full((8, 28, 28), 255, np.uint8), 0))
    good, bad, also_good = await infer(service, PAYLOADS[0], poison, PAYLOADS[1])
    assert isinstance(bad, InferenceFailed)
    assert isinstance(good, Answer)
    assert isinstance(also_good, Answer)


async def test_faces_beyond_the_queue_are_refused_each(weights_folder: Path) -> None:
    tail = StuckTail()
    parts = with_tail(weights_folder, tail, queue_max=2, batch_max=1)
    service = parts.service
    parts.start()
    running = asyncio.create_task(infer(service, PAYLOADS[0]))
    await begun(tail)
    more = asyncio.create_task(infer(service, *PAYLOADS[1:4]))
    await asyncio.sleep(0)
    tail.go.set()
    assert isinstance((await running)[0], Answer)
    assert [type(result) for result in await more] == [Answer, Answer, Overloaded]
    await parts.close()


async def test_closing_settles_every_request(
    stuck_parts: tuple[Parts, StuckTail],
) -> None:
    parts, tail = stuck_parts
    running = asyncio.create_task(infer(parts.service, *PAYLOADS[:2]))
    await begun(tail)
    await parts.close()
    assert [type(result) for result in await running] == [NotReady] * 2


async def test_a_picture_with_a_face(service: Service, astronaut: np.ndarray) -> None:
    seen = await service.classify(encoded(astronaut, "PNG"), "", soon())
    assert (seen.width, seen.height) == (512, 512)
    ((box, result),) = seen.faces
    assert 150 < box.x < 230
    assert 50 < box.y < 130
    assert isinstance(result, Answer)
    times = seen.latency_ms
    assert None not in (times.detect, times.head, times.tail, times.total)
    assert times.encode is times.link is None


async def test_faces_of_pictures_are_answered_by_the_backbone(
    weights_copy: Path, astronaut: np.ndarray
) -> None:
    weights = Weights(weights_copy)
    config = config_of(weights_copy)
    seen = to_grey(astronaut)
    limits = SearchLimits(config.search_side_px, config.limits.smallest_face_px, 32)
    (box,) = open_detector(config.detector, limits).detect(seen)
    features, z = weights.head(1).run(crop_face(seen, box, weights.manifest.crop)[None])
    local = weights.tail("local", 1).run(features)[0]
    rate = weights.rate_index("")
    symbols, steps = weights.quantiser.symbols(z, rate), weights.quantiser.steps(rate)
    temperature = np.array([weights.temperature("cloud", rate)], np.float32)
    cloud = weights.tail("cloud", 1).run(symbols, steps, temperature)[0]
    assert np.abs(local - cloud).max() > 0.01, "else this could not tell one from the other"
    picture, asked = encoded(astronaut, "PNG"), {"": local, "local": local, "cloud": cloud}

    async def check(config: CloudConfig, asked: dict[str, np.ndarray]) -> None:
        parts = Parts(config, Registry.load(config))
        parts.start()
        for tail, expected in asked.items():
            ((found, result),) = (await parts.service.classify(picture, tail, soon())).faces
            assert found == box
            assert isinstance(result, Answer)
            np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
            name = "local" if expected is local else "cloud"
            assert result.model == f"{weights.manifest.fingerprint}/{name}"
        with pytest.raises(ModelMismatch, match="no tail 'other' here for pictures; there"):
            await parts.service.classify(picture, "other", soon())
        with pytest.raises(ModelMismatch, match="no tail 'local' here; there are cloud"):
            await parts.service.infer(weights.manifest.fingerprint, "local", PAYLOADS[:1], soon())
        await parts.close()

    await check(config, asked)
    # Who gives the server a tail means it, for pictures too.
    await check(config_of(weights_copy, tail="cloud"), asked | {"": cloud})


@pytest.mark.parametrize("prior", list(Prior))
async def test_a_blurred_picture_is_answered_and_less_is_made_of_it(
    astronaut: np.ndarray, prior: Prior
) -> None:
    config = config_of(default_folder(), uncertain_below=0.9)
    parts = Parts(config, Registry.load(config))
    service = parts.service
    parts.start()
    priors, found = Weights(default_folder()).manifest.priors, []
    for radius in (0, 3):
        picture = Image.fromarray(astronaut).filter(ImageFilter.GaussianBlur(radius))
        rgb = np.asarray(picture)
        seen = await service.classify(encoded(rgb, "PNG"), "", soon(), None, prior)
        ((_, answer),), (quality,), (trust,) = seen.faces, seen.qualities, seen.trust
        assert isinstance(answer, Answer)
        assert trust is not None
        share = priors[answer.labels][LABELS.index(answer.label)]
        if prior is Prior.BALANCED:
            share = 1 / 7
        assert trust.confidence == pytest.approx(share + quality * (answer.confidence - share))
        assert trust.uncertain is (trust.confidence < 0.9)
        found.append(quality)
    await parts.close()
    assert found[1] < found[0] - 0.1


async def test_boxes_are_in_the_turned_picture(service: Service, astronaut: np.ndarray) -> None:
    from PIL import Image

    wide = np.pad(astronaut, ((0, 0), (100, 0), (0, 0)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    turned = encoded(np.ascontiguousarray(np.rot90(wide)), "JPEG", quality=95, exif=exif)
    seen = await service.classify(turned, "", soon())
    assert (seen.width, seen.height) == (612, 512)
    assert any(250 < box.x < 330 and 50 < box.y < 130 for box, _ in seen.faces)


async def test_no_face_is_a_result(service: Service) -> None:
    seen = await service.classify(encoded(grey(300)), "", soon())
    assert seen.faces == []
    assert seen.latency_ms.detect is not None
    assert seen.latency_ms.head is seen.latency_ms.tail is None


@pytest.mark.parametrize("name", BAD)
async def test_bad_pictures(service: Service, name: str) -> None:
    data, code = BAD[name]
    with pytest.raises(SplitFerError) as raised:
        await service.classify(data, "", soon())
    assert raised.value.code == code
    assert "\n" not in str(raised.value)
    await assert_fine(service)


async def test_a_picture_over_the_body_limit(weights_folder: Path) -> None:
    config = config_of(weights_folder, limits=replace(Limits(), body_bytes=100))
    parts = Parts(config, Registry.load(config))
    service = parts.service
    with pytest.raises(PayloadTooLarge, match="larger than 100 bytes"):
        await service.classify(bytes(101), "", soon())
    await parts.close()


async def test_pictures_wait_in_bounds(
    weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(weights_folder, pictures_max=2, picture_threads=1)
    parts = Parts(config, Registry.load(config))
    service = parts.service
    parts.start()
    go, begun = threading.Event(), threading.Event()

    def decode(*_: Any) -> np.ndarray:
        begun.set()
        assert go.wait(60)
        return grey(100)[..., 0]

    monkeypatch.setattr("splitfer.cloud_server.pictures.decoder.PictureDecoder.decode", decode)
    running = asyncio.create_task(service.classify(b"1", "", soon()))
    assert await asyncio.to_thread(begun.wait, 60)
    waiting = asyncio.create_task(service.classify(b"2", "", soon()))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="2 pictures"):
        await service.classify(b"3", "", soon())
    # One that gives up before its turn makes room.
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    late = asyncio.create_task(service.classify(b"4", "", Deadline.after_ms(30)))
    with pytest.raises(DeadlineExceeded):
        await late
    stopped = asyncio.create_task(service.classify(b"5", "", soon()))
    await asyncio.sleep(0)
    await parts.close()
    with pytest.raises(NotReady):
        await stopped
    go.set()
    assert (await running).faces == []
    with pytest.raises(NotReady):
        await service.classify(b"6", "", soon())


async def test_a_picture_that_breaks_the_detector_fails_alone(
    service: Service,
    astronaut: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a secret cause")

    with monkeypatch.context() as patch:
        patch.setattr("splitfer.cloud_server.pictures.reader.crop_face", broken)
        with pytest.raises(InferenceFailed) as raised:
            await service.classify(encoded(astronaut), "", soon())
    assert "secret" not in str(raised.value)
    assert "a secret cause" in caplog.text
    assert (await service.classify(encoded(astronaut), "", soon())).faces


async def test_weights_that_cannot_be_served(weights_copy: Path) -> None:
    with pytest.raises(ConfigError, match=r"'local' is no cloud tail of .*; there are cloud"):
        Registry.load(config_of(weights_copy, tail="local"))
    (weights_copy / "cloud.onnx").write_bytes(b"altered")
    with pytest.raises(WeightsError, match="sha256"):
        Registry.load(config_of(weights_copy))
    with pytest.raises(WeightsError, match="no weights"):
        Registry.load(config_of(weights_copy / "none"))


@pytest.mark.parametrize("setting", [None, Prior.NATURAL, Prior.BALANCED])
async def test_a_sender_that_names_no_prior_gets_the_servers(
    crowd_weights_folder: Path, astronaut: np.ndarray, setting: Prior | None
) -> None:
    config = config_of(crowd_weights_folder, prior=setting)
    parts = Parts(config, Registry.load(config))
    service = parts.service
    parts.start()

    async def prior_of(*asked: Any) -> Prior:
        ((_, result),) = (
            await service.classify(encoded(astronaut, "PNG"), "", soon(), *asked)
        ).faces
        assert isinstance(result, Answer)
        return result.prior

    assert await prior_of() is (setting or DEFAULT_PRIOR)
    for one in Prior:
        assert await prior_of(None, one) is one
    await parts.close()


async def test_weights_that_cannot_balance_say_so_to_who_asks(
    service: Service, astronaut: np.ndarray
) -> None:
    picture = encoded(astronaut, "PNG")
    with pytest.raises(ModelMismatch, match=r"prior: .* they answer natural only"):
        await service.classify(picture, "", soon(), None, Prior.BALANCED)
    with pytest.raises(ModelMismatch, match="does not answer the labels crowd; it answers fer2013"):
        await service.classify(picture, "", soon(), LabelSet.CROWD)
    balancing = service._registry.default.balance(LabelSet.FER2013, None, Prior.BALANCED)
    assert balancing is None, "the setting holds as far as the weights know the classes"
