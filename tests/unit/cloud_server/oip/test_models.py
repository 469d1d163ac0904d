from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.oip.models import OipModels, scope_of
from splitfer.cloud_server.oip.tensor import InputTensor
from splitfer.cloud_server.service.results import Inferred
from splitfer.shared.contracts import Answer, LatencyMs, Limits
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    MalformedPayload,
    Overloaded,
    PayloadTooLarge,
    SplitFerError,
    UnknownModel,
)
from splitfer.shared.labels import LABELS, LabelSet

LATENTS = np.zeros((3, 8, 28, 28), np.uint8)
GIVEN = InputTensor("latent", "UINT8", LATENTS.shape, LATENTS.tobytes())
ROW = (0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1)
HAPPY = Answer(ROW, "new/cloud", LabelSet.CROWD)


class FewTails:
    """A service with two weights; it gives what it is told to and remembers what it was asked."""

    def __init__(self, *results: Answer | SplitFerError) -> None:
        self.results, self.asked = list(results), {}
        self.tails = {"new": ("cloud", "large"), "old": ("cloud", "small")}

    def model(self, fingerprint: str = "") -> Any:
        return SimpleNamespace(tails=self.tails[fingerprint or "new"], served=tuple(self.tails))

    async def infer_latents(
        self,
        fingerprint: str,
        tail: str,
        symbols: np.ndarray,
        rate: str,
        deadline: Deadline,
        labels: LabelSet | None,
    ) -> Inferred:
        self.asked = {"weights": fingerprint, "tail": tail, "rate": rate, "deadline": deadline}
        self.asked["labels"] = labels
        return Inferred(self.results, LatencyMs())


def models_of(*results: Answer | SplitFerError) -> tuple[OipModels, FewTails]:
    service = FewTails(*results)
    return OipModels(service, Limits().faces_per_frame), service  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "version", "found", "versions"),
    [
        ("tail-cloud", "", "new", ("new", "old")),
        ("tail-cloud", "old", "old", ("new", "old")),
        ("tail-small", "", "old", ("old",)),
        ("full", "old", "old", ("new", "old")),
    ],
)
def test_models_are_found_in_every_weights(
    name: str, version: str, found: str, versions: tuple[str, ...]
) -> None:
    model = models_of()[0].find(name, version)
    assert (model.version, model.versions) == (found, versions)


@pytest.mark.parametrize(
    ("name", "version"),
    [("cloud", ""), ("tail-", ""), ("", ""), ("tail-small", "new"), ("full", "x" * 10_000)],
)
def test_what_is_not_served(name: str, version: str) -> None:
    with pytest.raises(UnknownModel) as raised:
        models_of()[0].find(name, version)
    assert len(str(raised.value)) < 200


def test_names() -> None:
    assert models_of()[0].names() == ("full", "tail-cloud", "tail-large", "tail-small")


def test_pictures_need_the_scope_of_pictures() -> None:
    assert scope_of("full") is Scope.IMAGE
    assert scope_of("tail-cloud") is Scope.INFER


async def infer(models: OipModels, **asked: Any) -> Any:
    model = models.find("tail-cloud")
    given = {"inputs": [GIVEN], "parameters": {}, "outputs": [], **asked}
    return await models.infer(model, deadline=Deadline.after_ms(60_000), **given)


async def test_outputs_come_as_they_were_asked_for() -> None:
    models, service = models_of(HAPPY, HAPPY, HAPPY)
    probabilities, label = await infer(models)
    assert (probabilities.name, label.name) == ("probabilities", "label")
    np.testing.assert_array_equal(probabilities.values, np.float32([ROW] * 3))
    assert label.flat() == [LABELS[3]] * 3
    assert [one.name for one in await infer(models, outputs=["label"])] == ["label"]
    assert (service.asked["weights"], service.asked["tail"]) == ("new", "cloud")


async def test_the_first_error_is_the_requests() -> None:
    models, _ = models_of(HAPPY, Overloaded("full"), MalformedPayload("wrong"))
    with pytest.raises(Overloaded, match="full"):
        await infer(models)


async def test_too_many_faces_are_refused_by_their_shape() -> None:
    many = InputTensor("latent", "UINT8", [33, 8, 28, 28], [])
    with pytest.raises(PayloadTooLarge, match="33 faces"):
        await infer(models_of(HAPPY)[0], inputs=[many])


async def test_parameters() -> None:
    models, service = models_of(HAPPY)
    await infer(models, parameters={"rate": "low", "timeout": 5_000_000, "other": [1]})
    assert (service.asked["rate"], service.asked["labels"]) == ("low", None)
    assert 4_000 < service.asked["deadline"].remaining_ms() <= 5_000
    await infer(models, parameters={"labels": "fer2013"})
    assert service.asked["labels"] is LabelSet.FER2013
    await infer(models, parameters={"timeout": 10**400})  # never later than the caller's own
    assert service.asked["deadline"].remaining_ms() <= 60_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": []},
        {"inputs": [GIVEN, GIVEN]},
        {"outputs": ["logits"]},
        {"outputs": ["label", "label"]},
        {"parameters": {"rate": 1}},
        {"parameters": {"labels": 1}},
        {"parameters": {"labels": "people"}},
        {"parameters": {"timeout": -1}},
        {"parameters": {"timeout": True}},
        {"parameters": {"timeout": "1"}},
    ],
    ids=str,
)
async def test_what_does_not_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedPayload):
        await infer(models_of(HAPPY)[0], **wrong)
