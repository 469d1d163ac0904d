"""An edge under watch: every answer is judged when it comes."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable

from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.contracts import AnswerPath, FaceAnswer, Reason
from tests.chaos.faces import TOLERANCE, Face, Picture

# Generous: the tests share the machine with whatever else runs on it.
DEADLINE_MS = 500.0
SCHEDULING_MS = 250.0
# What is promised after the end of a fault.
BACK_S = 5.0
PATIENCE_S = 60.0
# The cloud would be too late: the device's own timer finds out, or the server says so as the face
# arrives, since those before it take longer than it has (docs/server/serving.md). A machine that is
# short of processor time makes the one of the other. Nothing is lost by either: the device answers.
TOO_LATE = {Reason.DEADLINE, Reason.OVERLOADED}
# Why the device may answer while link or server are broken, or change.
BROKEN = {Reason.LINK_DOWN, Reason.BREAKER_OPEN, *TOO_LATE}


class Watch:
    """Shows pictures to a recognizer, one after another.

    For each: every face is answered exactly once, no later than the deadline plus one local
    inference, with what that very face gets offline, and with a reason where the cloud did not
    answer; ``chooses`` says that the recognizer may want something else. ``answers`` holds them
    all.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        pictures: list[Picture],
        deadline_ms: float = DEADLINE_MS,
        chooses: bool = False,
    ) -> None:
        self._recognizer, self._deadline_ms, self._chooses = recognizer, deadline_ms, chooses
        self._pictures = itertools.cycle(pictures)
        self._slowest_local_ms = 0.0
        self.answers: list[FaceAnswer] = []

    def look(self) -> list[FaceAnswer]:
        """One picture."""
        picture = next(self._pictures)
        start_s = time.monotonic()
        answers = self._recognizer.answer(picture.rgb, start_s)
        took_ms = (time.monotonic() - start_s) * 1000
        self._slowest_local_ms = max(
            [self._slowest_local_ms]
            + [one.latency_ms.tail or 0.0 for one in answers if one.path is AnswerPath.LOCAL]
        )
        assert took_ms <= self._deadline_ms + self._slowest_local_ms + SCHEDULING_MS, answers
        assert [one.box for one in answers] == [face.box for face in picture.faces]
        for answer, face in zip(answers, picture.faces, strict=True):
            judge(answer, face)
            # Whoever chooses may want to answer locally, and then needs no reason.
            assert answer.reason is None or answer.path is AnswerPath.LOCAL, answer
            assert answer.reason or self._chooses or answer.path is AnswerPath.CLOUD, answer
        self.answers += answers
        return answers

    def until(
        self, condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S
    ) -> None:
        """Pictures until it is so."""
        end_s = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < end_s, f"{patience_s:.0f} s without {what}: {self.said()}"
            self.look()

    def until_cloud(self, faces: int = 5, patience_s: float = PATIENCE_S) -> None:
        """Until so many more faces were answered by the cloud."""
        wanted = self.count(AnswerPath.CLOUD) + faces
        self.until(lambda: self.count(AnswerPath.CLOUD) >= wanted, "the cloud", patience_s)

    def until_reason(self, *reasons: Reason) -> None:
        """Until a face that is answered from now on has one of these."""
        start = len(self.answers)
        self.until(lambda: any(one.reason in reasons for one in self.answers[start:]), str(reasons))

    def during(self, act: Callable[[], object]) -> None:
        """Pictures while ``act`` is under way in another thread; at least one."""
        failure: list[BaseException] = []

        def run() -> None:
            try:
                act()
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.look()
        self.until(lambda: not thread.is_alive(), "the end of what was under way")
        thread.join()
        if failure:
            raise failure[0]

    def for_s(self, seconds: float) -> None:
        """Pictures for so long."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.look()

    def back(self) -> None:
        """The fault ended just now: the cloud answers again within the time promised."""
        self.until_cloud(1, BACK_S)
        self.until_cloud(3)

    def count(self, path: AnswerPath) -> int:
        """Faces answered on a path."""
        return sum(one.path is path for one in self.answers)

    def reasons(self) -> set[Reason]:
        """Every reason so far."""
        return {one.reason for one in self.answers if one.reason is not None}

    def said(self) -> Counter[str]:
        """Answers by path and reason, for a failing test."""
        return Counter(f"{one.path}/{one.reason}" for one in self.answers)


def judge(answer: FaceAnswer, face: Face) -> None:
    """The answer is the one that this face gets offline on the same path."""
    together = answer.answer.model.endswith("+local")
    off = face.off(answer.path, answer.rate, answer.answer.probabilities, together)
    assert off <= TOLERANCE, f"off by {off:.4f}: {answer}"
