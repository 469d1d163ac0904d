"""What Ray's proxy is told of our services, and what its calls look like to them."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import grpc
import pytest

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.ray_serve.engine import serve
from splitfer.cloud_server.ray_serve.grpc import RayContext, add_services, methods
from splitfer.shared.errors import ConfigError


class Proxy:
    """As much of Ray's server as ``add_services`` touches."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.service_handler_factory = lambda service_method, streaming_type: handler
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, generic: Any) -> None:
        for path in methods().values():
            found = generic[0].service(SimpleNamespace(method=path))
            if found:
                assert found.request_deserializer is None
                self.handlers[path] = self.service_handler_factory(path, None)


class Call:
    """gRPC's context of one call to the proxy."""

    def __init__(self, left_s: float | None, code: Any = 0, trailing: tuple = ()) -> None:
        self._left_s, self._code, self.trailing = left_s, code, trailing

    def time_remaining(self) -> float | None:
        return self._left_s

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("authorization", "Bearer x"), ("splitfer-left-ms", "999999")]

    def code(self) -> Any:
        return self._code

    def set_code(self, code: Any) -> None:
        self._code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def trailing_metadata(self) -> tuple:
        return self.trailing

    def set_trailing_metadata(self, trailing: tuple) -> None:
        self.trailing = trailing


def through(call: Call) -> tuple[RayContext, Call]:
    seen: list[Any] = []

    async def ray(_: bytes, context: Any) -> bytes:
        seen.append(Mock(invocation_metadata=Mock(return_value=context.invocation_metadata())))
        return b""

    proxy = Proxy(ray)
    add_services(Mock(), proxy)
    asyncio.run(proxy.handlers["/splitfer.v1.SplitFer/Infer"](b"", call))
    return RayContext(seen[0]), call


def test_every_unary_method_is_served_and_no_stream() -> None:
    names = methods()
    assert {"GetModel", "Infer", "Classify", "ModelInfer", "Check"} <= set(names)
    assert not {"InferStream", "Watch"} & set(names)


def test_the_deadline_comes_along_and_a_callers_own_word_does_not_count() -> None:
    context, _ = through(Call(2.0))
    assert context.time_remaining() == pytest.approx(2.0, abs=0.5)
    assert ("authorization", "Bearer x") in context.invocation_metadata()
    context, _ = through(Call(None))
    assert context.time_remaining() is None


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ("overloaded", "true")),
        (grpc.StatusCode.UNAVAILABLE, ("not_ready", "true")),
        (grpc.StatusCode.NOT_FOUND, ("not_ready", "true")),
        (grpc.StatusCode.INTERNAL, ("internal", "false")),
    ],
)
def test_the_proxys_own_refusals_get_our_code(code: grpc.StatusCode, ours: tuple[str, str]) -> None:
    _, call = through(Call(None, code, (("request_id", "1"),)))
    trailing = dict(call.trailing)
    assert (trailing["splitfer-code"], trailing["splitfer-retryable"]) == ours
    assert trailing["request_id"] == "1"
    if ours[0] == "not_ready":
        assert call.code() is grpc.StatusCode.UNAVAILABLE, "whatever Ray makes of it"


def test_our_own_errors_and_good_replies_pass_as_they_are() -> None:
    said = (("splitfer-code", "too_large"), ("splitfer-retryable", "false"))
    _, call = through(Call(None, grpc.StatusCode.RESOURCE_EXHAUSTED, said))
    assert call.trailing == said
    _, call = through(Call(None))
    assert call.trailing == ()


def test_tls_is_refused_and_says_where_it_goes(tmp_path) -> None:
    config = CloudConfig(engine="ray", tls_cert=tmp_path / "c", tls_key=tmp_path / "k")
    with pytest.raises(ConfigError, match="in front"):
        serve(config)


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[ray\]'"):
        serve(CloudConfig(engine="ray"))
