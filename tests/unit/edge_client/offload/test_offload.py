"""Who answers a face, and what is said about it, with the device and the link played."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from splitfer.edge_client.device import FoundFaces, NoFaces
from splitfer.edge_client.link.call import CallFailed
from splitfer.edge_client.offload.asked_tracks import AskedTracks
from splitfer.edge_client.offload.offload import FrameLost, Offload
from splitfer.edge_client.offload.open_frame import Video
from splitfer.edge_client.policy.policy import PolicySettings
from splitfer.edge_client.policy.prediction import Route
from splitfer.edge_client.policy.router import Router
from splitfer.shared.contracts import Answer, AnswerPath, Box, Reason
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import Prior, balanced
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

DEADLINE_MS = 60_000.0  # nothing here waits, and no stall of the machine may come near it
LOCAL = Answer((0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1), "f/local", LabelSet.FER2013)
EVEN = (1 / 7,) * 7
REMOTE = [0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1]
FRAME = np.zeros((60, 80, 3), np.uint8)


class PlayedDevice:
    """Finds ``faces`` faces and answers them."""

    label_set, balance, shares = LabelSet.FER2013, None, EVEN

    def __init__(
        self, faces: int = 2, before_tail: Any = None, quality: Sequence[float] = (1.0,) * 9
    ) -> None:
        self.head_ms_per_face, self.tail_ms_per_face = 1.0 / max(1, faces), 1.0
        self.faces, self.local_runs, self._before_tail = faces, 0, before_tail
        self.rate, self._quality, self.measured = "low", quality, 0

    def find(self, rgb: Any) -> FoundFaces | NoFaces:
        if not self.faces:
            return NoFaces(3.0)
        return self.look(rgb, tuple(Box(10 * i, 0, 8, 8) for i in range(self.faces)), 3.0)

    def look(self, grey: Any, boxes: tuple[Box, ...], detect_ms: float | None = None) -> FoundFaces:
        z = np.arange(len(boxes), dtype=np.float32)[:, None, None, None]
        z = np.broadcast_to(z, (len(boxes), 8, 28, 28))
        features = np.zeros((len(boxes), 116, 28, 28), np.float32)
        return FoundFaces(boxes, features, z, detect_ms, 1.0, tuple(self._quality[: len(boxes)]))

    def qualities(self, grey: Any, boxes: tuple[Box, ...]) -> tuple[float, ...]:
        self.measured += 1
        return tuple(self._quality[: len(boxes)])

    def payloads(self, z: Any, rate: str) -> list[bytes]:
        return [f"{rate} {one.max():.0f}".encode() for one in z]

    def local_answers(self, features: Any) -> tuple[list[Answer], float]:
        self.local_runs += 1
        if self._before_tail:
            self._before_tail()
        return [LOCAL] * len(features), 2.0


class PlayedCall:
    """A call that ends when the play says so."""

    def __init__(
        self, reply: Any = None, failure: Reason | None = None, ended: bool = True
    ) -> None:
        self.reply, self.reason, self.abandoned = reply, failure, False
        self.sent_s, self.done_s = time.monotonic(), time.monotonic() if ended else None
        self.waited_s: list[float] = []

    def end(self) -> None:
        self.done_s = time.monotonic()

    def wait(self, seconds: float) -> bool:
        self.waited_s.append(seconds)
        return self.done_s is not None

    def failure(self) -> CallFailed | None:
        return CallFailed(self.reason, "") if self.reason else None

    def result(self) -> Any:
        if self.reason:
            raise CallFailed(self.reason, "")
        return self.reply

    def abandon(self) -> None:
        self.abandoned = True


class PlayedLink:
    """Gives out one played call."""

    def __init__(self, call: PlayedCall | None = None, refusal: Reason | None = None) -> None:
        self.call, self.refusal, self.sent = call, refusal, []  # type: ignore[var-annotated]

    def infer(self, payloads: Any, deadline: Any) -> Any:
        self.sent.append(payloads)
        return self._begun()

    def classify(self, picture: bytes, deadline: Any) -> Any:
        self.sent.append(picture)
        return self._begun()

    def _begun(self) -> PlayedCall | None:
        if self.call is not None:
            now_s = time.monotonic()
            # Longer ago than the server says it took, however long the machine stood still.
            self.call.sent_s = min(now_s, self.call.done_s or now_s) - 0.02
        return self.call


def result(error: str | None = None, probabilities: list[float] | None = None) -> pb.FaceResult:
    if error:
        return pb.FaceResult(error=pb.Error(code=error))
    return pb.FaceResult(answer=pb.Answer(probabilities=probabilities or REMOTE, model="f/cloud"))


def infer_reply(*results: pb.FaceResult) -> pb.InferResponse:
    return pb.InferResponse(results=results, time=pb.ServerTime(total_ms=1, tail_ms=0.5))


WAYS = {path: Route(path, 0.5, "low" if path is AnswerPath.CLOUD else "") for path in AnswerPath}


def always(path: AnswerPath, shadow_share: float = 0.0) -> Router:
    """A router that names one path."""
    settings = PolicySettings(
        (WAYS[AnswerPath.LOCAL], WAYS[path]), DEADLINE_MS, shadow_share=shadow_share
    )
    return Router(settings, {"low": 5.0}, WAYS[path])


def answer(
    device: Any, link: Any, wanted: AnswerPath = AnswerPath.CLOUD, decoded_s: float | None = None
) -> list[Any]:
    offload = Offload(device, link, always(wanted), DEADLINE_MS, jpeg_quality=85)
    return offload.answer(FRAME, time.monotonic() if decoded_s is None else decoded_s)


def test_the_server_answers_every_face_in_order_with_the_frames_one_call() -> None:
    device, link = PlayedDevice(3), PlayedLink(PlayedCall(infer_reply(*[result()] * 3)))
    faces = answer(device, link)
    assert [(f.path, f.reason, f.label) for f in faces] == [(AnswerPath.CLOUD, None, "happy")] * 3
    assert [f.box.x for f in faces] == [0, 10, 20]
    assert device.local_runs == 0
    (payloads,) = link.sent
    assert payloads == [b"low 0", b"low 1", b"low 2"]
    assert [(f.sent_bytes, f.rate) for f in faces] == [(5, "low")] * 3
    times = faces[0].latency_ms
    assert (times.detect, times.head, times.tail) == (3.0, 1.0, 0.5)
    assert times.encode is not None
    assert times.link is not None
    assert times.total is not None


def test_without_faces_nothing_is_sent() -> None:
    link = PlayedLink(PlayedCall(infer_reply()))
    assert answer(PlayedDevice(0), link) == []
    assert link.sent == []


@pytest.mark.parametrize("refusal", [Reason.LINK_DOWN, Reason.BREAKER_OPEN, Reason.MODEL_MISMATCH])
def test_a_link_that_refuses_is_not_asked(refusal: Reason) -> None:
    link = PlayedLink(refusal=refusal)
    faces = answer(PlayedDevice(), link)
    assert [(f.path, f.reason, f.sent_bytes, f.rate) for f in faces] == [
        (AnswerPath.LOCAL, refusal, 0, None)
    ] * 2
    assert link.sent == []


@pytest.mark.parametrize("complete", [True, False])
def test_what_the_device_does_after_a_reply_is_learnt_unless_it_answered_itself(
    complete: bool,
) -> None:
    call, router = (
        PlayedCall(infer_reply(*[result()] * (2 if complete else 1))),
        always(AnswerPath.CLOUD),
    )
    assert call.done_s is not None
    call.done_s -= 5
    offload = Offload(PlayedDevice(), PlayedLink(call), router, DEADLINE_MS, 85)  # type: ignore[arg-type]
    offload.answer(FRAME, time.monotonic())
    collect_ms = router.estimates.costs().collect.typical_ms
    assert (5000 <= collect_ms < 60_000) if complete else (collect_ms == 0)


def test_a_failed_call_gives_its_reason_and_what_was_sent_is_counted() -> None:
    faces = answer(PlayedDevice(), PlayedLink(PlayedCall(failure=Reason.OVERLOADED)))
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, Reason.OVERLOADED)] * 2
    assert (faces[0].sent_bytes, faces[0].rate) == (5, "low")


def test_the_timer_wins_and_the_call_is_left_behind() -> None:
    call = PlayedCall(ended=False)
    faces = answer(PlayedDevice(), PlayedLink(call))
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, Reason.DEADLINE)] * 2
    assert call.abandoned
    assert 0 < call.waited_s[0] <= 0.6 * DEADLINE_MS / 1000


def test_a_slow_device_starts_earlier_in_proportion_to_its_faces() -> None:
    device, call = PlayedDevice(faces=3), PlayedCall(ended=False)
    device.tail_ms_per_face = 0.2 * DEADLINE_MS
    answer(device, PlayedLink(call))
    assert 0 < call.waited_s[0] <= (1 - 3 * 0.2) * DEADLINE_MS / 1000


def test_a_reply_that_comes_while_the_device_computes_is_given() -> None:
    call = PlayedCall(infer_reply(result(), result()), ended=False)
    faces = answer(PlayedDevice(before_tail=call.end), PlayedLink(call))
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.CLOUD, None)] * 2
    assert not call.abandoned


def test_one_bad_face_is_answered_here_and_its_neighbour_there() -> None:
    reply = infer_reply(result(), result(error="malformed_payload"))
    faces = answer(PlayedDevice(), PlayedLink(PlayedCall(reply)))
    assert [(f.path, f.reason) for f in faces] == [
        (AnswerPath.CLOUD, None),
        (AnswerPath.LOCAL, Reason.SERVER_ERROR),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        infer_reply(result()),
        infer_reply(result(), result(), result()),
        infer_reply(result(probabilities=[0.5, 0.5]), result(probabilities=[float("nan")] * 7)),
        infer_reply(result(probabilities=[0.9] * 7), pb.FaceResult()),
    ],
    ids=["too few", "too many", "not seven", "no sum"],
)
def test_a_reply_that_makes_no_sense_is_a_server_error(reply: pb.InferResponse) -> None:
    faces = answer(PlayedDevice(), PlayedLink(PlayedCall(reply)))
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, Reason.SERVER_ERROR)] * 2


def test_what_is_late_already_is_not_sent() -> None:
    link = PlayedLink(PlayedCall(infer_reply(result(), result())))
    faces = answer(PlayedDevice(), link, decoded_s=time.monotonic() - 2 * DEADLINE_MS / 1000)
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, Reason.DEADLINE)] * 2
    assert link.sent == []


def test_local_was_chosen_so_there_is_no_reason() -> None:
    faces = answer(PlayedDevice(), None, AnswerPath.LOCAL)
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, None)] * 2


def classify_reply(*results: pb.FaceResult) -> pb.ClassifyResponse:
    faces = [pb.DetectedFace(box=pb.Box(x=5, y=5, w=50, h=50), result=r) for r in results]
    times = pb.ServerTime(total_ms=9, tail_ms=1, detect_ms=6, head_ms=1)
    return pb.ClassifyResponse(width=80, height=60, faces=faces, time=times)


def test_image_gives_the_servers_faces() -> None:
    device, call = PlayedDevice(), PlayedCall(classify_reply(result()))
    link = PlayedLink(call)
    (face,) = answer(device, link, AnswerPath.IMAGE)
    assert (face.path, face.reason, face.box) == (AnswerPath.IMAGE, None, Box(5, 5, 50, 50))
    assert face.sent_bytes == len(link.sent[0])
    assert (face.latency_ms.detect, face.latency_ms.tail) == (6.0, 1.0)
    assert device.local_runs == 0


def test_image_without_faces_is_an_answer() -> None:
    device = PlayedDevice()
    assert answer(device, PlayedLink(PlayedCall(classify_reply())), AnswerPath.IMAGE) == []
    assert device.local_runs == 0


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        (PlayedLink(PlayedCall(ended=False)), Reason.DEADLINE),
        (PlayedLink(PlayedCall(failure=Reason.LINK_DOWN)), Reason.LINK_DOWN),
        (PlayedLink(refusal=Reason.BREAKER_OPEN), Reason.BREAKER_OPEN),
    ],
)
def test_image_falls_back_to_the_devices_own_faces(link: PlayedLink, reason: Reason) -> None:
    faces = answer(PlayedDevice(), link, AnswerPath.IMAGE)
    assert [(f.path, f.reason, f.box.w) for f in faces] == [(AnswerPath.LOCAL, reason, 8)] * 2


def test_image_with_one_bad_face_answers_that_box_here() -> None:
    reply = classify_reply(result(), result(error="inference_failed"))
    faces = answer(PlayedDevice(), PlayedLink(PlayedCall(reply)), AnswerPath.IMAGE)
    assert [(f.path, f.reason, f.box.w) for f in faces] == [
        (AnswerPath.IMAGE, None, 50),
        (AnswerPath.LOCAL, Reason.SERVER_ERROR, 50),
    ]


def test_a_device_that_fails_says_how_many_faces_are_lost() -> None:
    def explode() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(FrameLost) as lost:
        answer(PlayedDevice(faces=2, before_tail=explode), None, AnswerPath.LOCAL)
    assert lost.value.faces == 2


# -- what the policy adds ----------------------------------------------------------------------


def test_a_device_that_is_late_anyway_still_asks_and_starts_at_once() -> None:
    device, call = PlayedDevice(), PlayedCall(infer_reply(result(), result()), ended=False)
    device.tail_ms_per_face = 10 * DEADLINE_MS
    device._before_tail = call.end
    faces = answer(device, PlayedLink(call))
    assert call.waited_s[0] <= 0
    assert [face.path for face in faces] == [AnswerPath.CLOUD] * 2


def test_a_shadow_compares_the_device_with_the_server() -> None:
    device, link = PlayedDevice(), PlayedLink(PlayedCall(infer_reply(result(), result())))
    router = always(AnswerPath.CLOUD, shadow_share=1.0)
    faces = Offload(device, link, router, DEADLINE_MS, 85).answer(FRAME, time.monotonic())
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.CLOUD, None)] * 2
    assert device.local_runs == 1
    assert router.report()["shadow"] == {"faces": 2, "agreement": 0.0}


def test_a_shadow_is_the_fallback_too_and_is_computed_once() -> None:
    device, call = PlayedDevice(), PlayedCall(ended=False)
    router = always(AnswerPath.CLOUD, shadow_share=1.0)
    faces = Offload(device, PlayedLink(call), router, DEADLINE_MS, 85).answer(
        FRAME, time.monotonic()
    )
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, Reason.DEADLINE)] * 2
    assert device.local_runs == 1
    assert router.report()["shadow"]["faces"] == 0


def auto(*, cloud_accuracy: float = 0.6) -> Router:
    ways = (WAYS[AnswerPath.LOCAL], Route(AnswerPath.CLOUD, cloud_accuracy, "low"))
    return Router(PolicySettings(ways, DEADLINE_MS, shadow_share=0.0), {"low": 5.0})


def test_what_is_tried_on_local_is_sent_after_the_answer_and_nobody_waits() -> None:
    router, device = auto(cloud_accuracy=0.4), PlayedDevice()
    calls = []
    for _ in range(150):
        call = PlayedCall(infer_reply(result(), result()))
        link = PlayedLink(call)
        faces = Offload(device, link, router, DEADLINE_MS, 85).answer(FRAME, time.monotonic())
        if router.decision is not None and router.decision.path is AnswerPath.LOCAL and link.sent:
            calls.append(call)
            assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, None)] * 2
            assert [(f.sent_bytes, f.rate, f.latency_ms.encode) for f in faces] == [
                (5, "low", None)
            ] * 2
    assert 1 <= len(calls) <= 2
    assert all(max(call.waited_s, default=0) == 0 and not call.abandoned for call in calls)


def test_auto_uses_the_server_and_tells_why_it_cannot() -> None:
    router, device = auto(), PlayedDevice()

    def once(link: PlayedLink) -> Any:
        return Offload(device, link, router, DEADLINE_MS, 85).answer(FRAME, time.monotonic())[0]

    for _ in range(5):
        assert (
            once(PlayedLink(PlayedCall(infer_reply(result(), result())))).path is AnswerPath.CLOUD
        )
    refused = once(PlayedLink(refusal=Reason.BREAKER_OPEN))
    assert (refused.path, refused.reason) == (AnswerPath.LOCAL, Reason.BREAKER_OPEN)


def both() -> Router:
    """One that wants the mean of the server's and the device's answer."""
    ways = (WAYS[AnswerPath.LOCAL], Route(AnswerPath.CLOUD, 0.6, "low", together=True))
    return Router(PolicySettings(ways, DEADLINE_MS, shadow_share=0.0), {"low": 5.0})


MEAN = pytest.approx((0.25, 0.1, 0.1, 0.25, 0.1, 0.1, 0.1))


def test_the_device_answers_while_the_server_does_and_the_mean_is_given() -> None:
    device, call = PlayedDevice(), PlayedCall(infer_reply(result(), result()), ended=False)
    device._before_tail = call.end
    router = both()
    faces = Offload(device, PlayedLink(call), router, DEADLINE_MS, 85).answer(
        FRAME, time.monotonic()
    )
    assert [(f.path, f.reason, f.rate) for f in faces] == [(AnswerPath.CLOUD, None, "low")] * 2
    assert [f.answer.probabilities for f in faces] == [MEAN] * 2
    assert {f.answer.model for f in faces} == {"f/cloud+local"}
    assert device.local_runs == 1
    assert router.report()["shadow"]["faces"] == 2


def test_the_mean_is_there_when_the_later_of_both_is() -> None:
    device = PlayedDevice(before_tail=lambda: time.sleep(0.05))
    link = PlayedLink(PlayedCall(infer_reply(result(), result())))
    faces = Offload(device, link, both(), DEADLINE_MS, 85).answer(FRAME, time.monotonic())
    assert all(f.latency_ms.total is not None and f.latency_ms.total >= 50 for f in faces)


@pytest.mark.parametrize(
    ("call", "reasons"),
    [
        (PlayedCall(ended=False), [Reason.DEADLINE] * 2),
        (PlayedCall(failure=Reason.OVERLOADED), [Reason.OVERLOADED] * 2),
        (PlayedCall(infer_reply(result("overloaded"), result())), [Reason.OVERLOADED, None]),
    ],
)
def test_what_the_server_has_no_answer_for_is_the_devices_alone(
    call: PlayedCall, reasons: list[Reason | None]
) -> None:
    device = PlayedDevice()
    faces = Offload(device, PlayedLink(call), both(), DEADLINE_MS, 85).answer(
        FRAME, time.monotonic()
    )
    assert [f.reason for f in faces] == reasons
    for face, reason in zip(faces, reasons, strict=True):
        assert face.answer == LOCAL if reason else face.answer.probabilities == MEAN
    assert device.local_runs == 1


SHARES = (0.14, 0.02, 0.14, 0.25, 0.17, 0.17, 0.11)


@pytest.mark.parametrize("together", [False, True])
def test_classes_are_balanced_once_all_is_put_together(together: bool) -> None:
    device = PlayedDevice()
    device.balance = SHARES  # type: ignore[assignment]
    link = PlayedLink(PlayedCall(infer_reply(result(), result("overloaded"))))
    router = both() if together else always(AnswerPath.CLOUD)
    remote, local = Offload(device, link, router, DEADLINE_MS, 85).answer(  # type: ignore[arg-type]
        FRAME, time.monotonic()
    )
    natural = tuple(MEAN.expected) if together else tuple(REMOTE)
    for face, row in ((remote, natural), (local, LOCAL.probabilities)):
        assert face.answer.prior is Prior.BALANCED
        wanted = balanced(np.array([row]), np.array(SHARES))[0]
        np.testing.assert_allclose(face.answer.probabilities, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("asked", "said", "reason"),
    [
        (LabelSet.FER2013, "", None),  # a server from before there were two
        (LabelSet.FER2013, "fer2013", None),
        (LabelSet.CROWD, "crowd", None),
        (LabelSet.CROWD, "", Reason.MODEL_MISMATCH),
        (LabelSet.CROWD, "fer2013", Reason.MODEL_MISMATCH),
        (LabelSet.FER2013, "crowd", Reason.MODEL_MISMATCH),
        (LabelSet.CROWD, "people", Reason.MODEL_MISMATCH),
    ],
)
@pytest.mark.parametrize("path", [AnswerPath.CLOUD, AnswerPath.IMAGE])
def test_an_answer_in_other_labels_is_none(
    asked: LabelSet, said: str, reason: Reason | None, path: AnswerPath
) -> None:
    device, other = PlayedDevice(1), result()
    device.label_set = asked
    other.answer.labels = said
    reply = infer_reply(other) if path is AnswerPath.CLOUD else classify_reply(other)
    (face,) = answer(device, PlayedLink(PlayedCall(reply)), path)
    assert (face.path, face.reason) == (AnswerPath.LOCAL if reason else path, reason)
    if reason is None:
        assert face.answer.labels is asked


def test_an_answer_that_is_balanced_already_is_not_what_was_asked_for() -> None:
    other = result()
    other.answer.prior = "balanced"
    (face,) = answer(PlayedDevice(1), PlayedLink(PlayedCall(infer_reply(other))))
    assert (face.path, face.reason) == (AnswerPath.LOCAL, Reason.SERVER_ERROR)


# -- how far to go by it -----------------------------------------------------------------------


def drawn(confidence: float, quality: float, prior: float = 1 / 7) -> Any:
    return pytest.approx(prior + quality * (confidence - prior))


@pytest.mark.parametrize("path", [AnswerPath.CLOUD, AnswerPath.LOCAL])
def test_confidence_falls_with_each_pictures_quality_whoever_answers(path: AnswerPath) -> None:
    device = PlayedDevice(quality=(0.9, 0.2))
    link = PlayedLink(PlayedCall(infer_reply(result(), result())))
    faces = answer(device, link, path)
    assert [(f.path, f.quality) for f in faces] == [(path, 0.9), (path, 0.2)]
    assert [f.confidence for f in faces] == [drawn(0.4, 0.9), drawn(0.4, 0.2)]
    assert [max(f.answer.probabilities) for f in faces] == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize(("below", "uncertain"), [(0.0, []), (0.3, [1]), (0.5, [0, 1])])
def test_answers_below_the_threshold_are_uncertain(below: float, uncertain: list[int]) -> None:
    offload = Offload(
        PlayedDevice(quality=(0.9, 0.2)),
        None,
        always(AnswerPath.LOCAL),
        DEADLINE_MS,
        85,  # type: ignore[arg-type]
        uncertain_below=below,
    )
    faces = offload.answer(FRAME, time.monotonic())
    assert [i for i, face in enumerate(faces) if face.uncertain] == uncertain


def test_the_mean_of_both_answers_falls_once() -> None:
    link = PlayedLink(PlayedCall(infer_reply(result(), result())))
    device = PlayedDevice(quality=(0.5, 0.5))
    faces = Offload(device, link, both(), DEADLINE_MS, 85).answer(FRAME, time.monotonic())  # type: ignore[arg-type]
    assert [f.answer.probabilities for f in faces] == [MEAN] * 2
    assert [f.confidence for f in faces] == [drawn(0.25, 0.5)] * 2


def test_confidence_falls_to_how_common_the_answers_take_the_label_to_be() -> None:
    device = PlayedDevice(1, quality=(0.5,))
    device.shares = SHARES
    (natural,) = answer(device, None, AnswerPath.LOCAL)
    assert natural.confidence == drawn(0.4, 0.5, prior=SHARES[0])
    device.balance, device.shares = SHARES, EVEN  # type: ignore[assignment]
    (even,) = answer(device, None, AnswerPath.LOCAL)
    assert even.confidence == drawn(even.answer.confidence, 0.5)


def test_a_cascade_decides_by_what_the_network_said() -> None:
    device, link = PlayedDevice(3, quality=(0.2, 0.1, 0.3)), PlayedLink(PlayedCall())
    link.call = PlayedCall(infer_reply(result()))
    sure = Answer((0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0), "f/local", LabelSet.FER2013)
    device.local_answers = lambda _: ([sure, LOCAL, sure], 2.0)  # type: ignore[method-assign]
    faces = cascade(link, 0.8, device)
    assert [f.path for f in faces] == [AnswerPath.LOCAL, AnswerPath.CLOUD, AnswerPath.LOCAL]
    assert [f.quality for f in faces] == [0.2, 0.1, 0.3]
    assert link.sent == [[b"low 1"]]


def test_the_server_says_the_quality_of_the_pictures_that_it_cut_out() -> None:
    reply = classify_reply(result())
    reply.faces[0].quality = 0.25
    device = PlayedDevice(1)
    (face,) = answer(device, PlayedLink(PlayedCall(reply)), AnswerPath.IMAGE)
    assert (face.path, face.quality, device.measured) == (AnswerPath.IMAGE, 0.25, 0)
    assert face.confidence == drawn(0.4, 0.25)


def test_a_server_that_does_not_say_it_leaves_it_to_the_device() -> None:
    device = PlayedDevice(quality=(0.5,))
    (face,) = answer(device, PlayedLink(PlayedCall(classify_reply(result()))), AnswerPath.IMAGE)
    assert (face.path, face.quality, device.measured) == (AnswerPath.IMAGE, 0.5, 1)
    assert face.confidence == drawn(0.4, 0.5)


@pytest.mark.parametrize("said", [1.5, -0.1, float("nan")])
def test_a_quality_that_makes_no_sense_is_a_server_error(said: float) -> None:
    reply = classify_reply(result())
    reply.faces[0].quality = said
    faces = answer(PlayedDevice(1), PlayedLink(PlayedCall(reply)), AnswerPath.IMAGE)
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, Reason.SERVER_ERROR)]


def cascade(
    link: PlayedLink, threshold: float, device: PlayedDevice, router: Router | None = None
) -> list[Any]:
    offload = Offload(device, link, router or auto(), DEADLINE_MS, 85, cascade_threshold=threshold)
    return offload.answer(FRAME, time.monotonic())


def test_a_cascade_asks_about_unsure_faces_only() -> None:
    sure = Answer((0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0), "f/local", LabelSet.FER2013)
    device, link = PlayedDevice(3), PlayedLink(PlayedCall(infer_reply(result())))
    device.local_answers = lambda _: ([sure, LOCAL, sure], 2.0)  # type: ignore[method-assign]
    faces = cascade(link, 0.8, device)
    assert [(f.path, f.reason, f.box.x) for f in faces] == [
        (AnswerPath.LOCAL, None, 0), (AnswerPath.CLOUD, None, 10), (AnswerPath.LOCAL, None, 20),
    ]  # fmt: skip
    assert link.sent == [[b"low 1"]]


def test_a_cascade_gives_the_mean_where_that_is_better() -> None:
    device, link = PlayedDevice(), PlayedLink(PlayedCall(infer_reply(result(), result())))
    faces = cascade(link, 0.8, device, both())
    assert [(f.path, f.answer.probabilities) for f in faces] == [(AnswerPath.CLOUD, MEAN)] * 2
    assert device.local_runs == 1


def test_a_cascade_asks_about_a_face_of_a_video_once_a_while() -> None:
    device, link = PlayedDevice(1), PlayedLink(PlayedCall(infer_reply(result())))
    tracks = AskedTracks(0.8, again_s=1.0, smooth_s=2.0, lost_s=1.0)
    offload = Offload(device, link, both(), DEADLINE_MS, 85, cascade_threshold=0.8)
    faces = [
        offload.answer(FRAME, time.monotonic(), Video(step / 8, tracks))[0] for step in range(12)
    ]
    paths = [face.path for face in faces]
    assert [step for step, path in enumerate(paths) if path is AnswerPath.CLOUD] == [0, 1, 2, 4, 8]
    assert len(link.sent) == 5
    for face in faces[5:8]:  # the device's answer is told, and counts with what the server said
        assert (face.answer, face.reason, face.sent_bytes) == (LOCAL, None, 0)
        assert face.standing is not None
        assert face.standing.probabilities == pytest.approx(MEAN)
    # A single picture is no frame of a video.
    offload.answer(FRAME, time.monotonic())
    assert len(link.sent) == 6


def test_a_cascade_that_is_sure_sends_nothing() -> None:
    link = PlayedLink(PlayedCall(infer_reply()))
    faces = cascade(link, 0.3, PlayedDevice())
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, None)] * 2
    assert link.sent == []


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        (PlayedLink(PlayedCall(ended=False)), Reason.DEADLINE),
        (PlayedLink(PlayedCall(failure=Reason.OVERLOADED)), Reason.OVERLOADED),
        (PlayedLink(refusal=Reason.LINK_DOWN), Reason.LINK_DOWN),
    ],
)
def test_a_cascade_keeps_its_answers_where_the_server_has_none(
    link: PlayedLink, reason: Reason
) -> None:
    device = PlayedDevice()
    faces = cascade(link, 0.8, device)
    assert [(f.path, f.reason) for f in faces] == [(AnswerPath.LOCAL, reason)] * 2
    assert device.local_runs == 1
