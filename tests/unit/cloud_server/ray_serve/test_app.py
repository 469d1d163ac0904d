"""The Ray application in one process, as Ray's local testing mode runs it; a whole cluster is in
``tests/integration/test_ray_engine.py``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.errors import ConfigError
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

serve = pytest.importorskip("ray.serve")
# Ray's own, on import and when its loop ends.
pytestmark = pytest.mark.filterwarnings("ignore")
PAYLOAD = PayloadCodec(None, 1).encode(Latent(np.full((8, 28, 28), 128, np.uint8), 0))


class Context:
    """Ray's context of one call with 30 s left."""

    ended: list[tuple[str, Any]] = []  # noqa: RUF012  # Ray copies contexts; all write here

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("splitfer-left-ms", "30000")]

    def trailing_metadata(self) -> list[tuple[str, str]]:
        return []

    def peer(self) -> str:
        return "ipv4:192.0.2.1:5"

    def auth_context(self) -> dict[str, Any]:
        return {}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("set_"):
            raise AttributeError(name)
        return lambda value: self.ended.append((name, value))


@pytest.fixture(scope="module")
def ingress(weights_folder: Path) -> Any:
    from splitfer.cloud_server.ray_serve.app import application

    config = CloudConfig(weights=(weights_folder,), engine="ray")
    return serve.run(application(config), name="splitfer", _local_testing_mode=True)


def call(ingress: Any, method: str, request: Any) -> bytes:
    Context.ended.clear()
    return getattr(ingress, method).remote(request.SerializeToString(), Context()).result().data


def test_faces_go_through_both_deployments(ingress: Any, weights_folder: Path) -> None:
    model = pb.Model.FromString(call(ingress, "GetModel", pb.GetModelRequest()))
    assert model.fingerprint == weights_folder.name
    assert model.stream_in_flight == 0
    request = pb.InferRequest(fingerprint=model.fingerprint, payloads=[PAYLOAD, b"x", PAYLOAD])
    reply = pb.InferResponse.FromString(call(ingress, "Infer", request))
    kinds = [result.WhichOneof("result") for result in reply.results]
    assert kinds == ["answer", "error", "answer"]
    assert sum(reply.results[0].answer.probabilities) == pytest.approx(1, abs=1e-4)
    assert reply.results[1].error.code == "malformed_payload"


def test_a_refusal_keeps_its_code_and_its_trailing_metadata(ingress: Any) -> None:
    assert call(ingress, "Infer", pb.InferRequest(fingerprint="0" * 16, payloads=[PAYLOAD])) == b""
    ended = dict(Context.ended)
    assert ended["set_code"].name == "FAILED_PRECONDITION"
    assert ("splitfer-code", "model_mismatch") in ended["set_trailing_metadata"]


def test_settings_come_as_arguments_and_are_checked() -> None:
    from splitfer.cloud_server.ray_serve.app import app

    with pytest.raises(ConfigError, match="tail_replicas_max"):
        app({"ray": {"tail_replicas_min": 3, "tail_replicas_max": 2}})
    with pytest.raises(ConfigError, match="unknown key rays"):
        app({"rays": {}})
