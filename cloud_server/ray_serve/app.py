"""The service on Ray Serve: one application, gRPC and REST in, tail replicas behind.

    proxy (gRPC, HTTP) -> Ingress: Service, pictures, heads -> Tails: batcher and network

``serve run splitfer.cloud_server.ray_app:app`` runs it; only this module and ``engine`` import Ray.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from splitfer.cloud_server.admission.health import Phase
from splitfer.cloud_server.config import PREFIX, CloudConfig
from splitfer.cloud_server.inference.face import Face
from splitfer.cloud_server.inference.tail import ServedTail
from splitfer.cloud_server.ray_serve.grpc import RayCalls, Reply, methods
from splitfer.cloud_server.ray_serve.tail import RemoteTail, Result, Run
from splitfer.cloud_server.rest_api.app import http_app
from splitfer.cloud_server.rest_api.observer import HttpObserver
from splitfer.cloud_server.server.parts import Parts
from splitfer.cloud_server.weights.registry import Registry
from splitfer.cloud_server.weights.served import ServedWeights
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import NotReady, Overloaded, SplitFerError
from splitfer.shared.settings import load_settings

# Calls under way in one ingress replica; tails and pictures have bounds of their own, whose
# refusals say more than Ray's.
_INGRESS_CALLS_MAX = 1000
# Of one call to a tail replica, where the size of its batches is its own choice.
_ADAPTIVE_FACES = 16


class Tails:
    """A replica: every tail of every weights, with batchers of its own."""

    def __init__(self, config: CloudConfig) -> None:
        self._registry = Registry.load(config)
        self._registry.start()

    async def run(
        self, fingerprint: str, tail: str, faces: list[Face], left_ms: list[float]
    ) -> list[Result]:
        """A result per face, in order."""
        served = self._registry.weights(fingerprint).tail(tail)
        pairs = zip(faces, left_ms, strict=True)
        return await asyncio.gather(
            *(_result(served, face, Deadline.after_ms(left)) for face, left in pairs)
        )


class Ingress:
    """A replica: what callers reach, over both protocols."""

    def __init__(self, config: CloudConfig, tails: DeploymentHandle[Tails]) -> None:
        self._parts = parts = Parts(config, _with_remote_tails(config, tails))
        parts.start()
        parts.health.phase = Phase.SERVING
        self._hurry = asyncio.Event()
        self._calls = RayCalls(config, parts.service, parts.admission, parts.observer, parts.budget)

    def __serve_build_asgi_app__(self) -> HttpObserver:
        """The REST application; Ray calls this."""
        # Ray's proxy puts the id, which the request had already, in the reply itself.
        parts = self._parts
        return http_app(
            parts.config,
            parts.service,
            parts.admission,
            parts.observer,
            parts.metrics,
            parts.registry,
            parts.budget,
            alone=False,
        )

    async def leave(self) -> None:
        """Serve on while readiness says no."""
        self._parts.health.phase = Phase.LEAVING

    async def drain(self) -> None:
        """Refuse what is new; returns once what is in flight has had its answer, or its time. It
        goes on refusing until Ray ends it."""
        self._parts.health.phase = Phase.DRAINING
        await self._parts.finish(self._hurry)

    async def hurry(self) -> None:
        """Wait no longer for what is in flight."""
        self._hurry.set()

    async def answer(self, method: str, message: bytes, context: Any) -> Reply:
        """Answer one gRPC call."""
        return await self._calls.answer(method, message, context)


def _grpc_method(path: str) -> Callable[..., Awaitable[Reply]]:
    async def method(self: Ingress, message: bytes, grpc_context: Any) -> Reply:
        return await self.answer(path, message, grpc_context)

    return method


# Ray calls the method that has the name of gRPC's.
for _name, _path in methods().items():
    setattr(Ingress, _name, _grpc_method(_path))


async def _result(served: ServedTail, face: Face, deadline: Deadline) -> Result:
    try:
        return await served.submit(face, deadline)
    except SplitFerError as error:
        return error


def _with_remote_tails(config: CloudConfig, tails: DeploymentHandle[Tails]) -> Registry:
    """What ``config`` names, its networks run by ``tails``."""
    loaded = Registry.load(config)

    def remote(weights: ServedWeights) -> ServedWeights:
        moved: dict[str, ServedTail] = {
            name: RemoteTail(
                tail.model, tail.rates, _run(tails, weights.fingerprint, name), _faces_max(config)
            )
            for name, tail in weights.tails.items()
        }
        # The head runs here in any case, and the local tail is small.
        return replace(weights, tails=moved)

    # Without an opener: what is served changes with the application, on every replica at once.
    return Registry([remote(weights) for weights in loaded.served])


def _faces_max(config: CloudConfig) -> int:
    return config.batch_max or _ADAPTIVE_FACES


def _run(tails: DeploymentHandle[Tails], fingerprint: str, tail: str) -> Run:
    async def run(faces: list[Face], left_ms: list[float]) -> Sequence[Result]:
        response = tails.run.remote(fingerprint, tail, faces, left_ms)
        try:
            results: list[Result] = await response
            return results
        except asyncio.CancelledError:
            response.cancel()
            raise
        except BackPressureError:
            raise Overloaded("as many calls as may are waiting for a tail already") from None
        except (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError) as error:
            raise NotReady("the tail's replica went away") from error

    return run


def application(config: CloudConfig) -> serve.Application:
    """The application that ``config`` describes."""
    scale = config.ray
    # One batch in the network, the next one waiting.
    calls_max = max(2 * _faces_max(config), math.ceil(scale.tail_ongoing))
    tails = serve.deployment(
        name="tails",
        max_ongoing_requests=calls_max,
        max_queued_requests=scale.tail_queued_max,
        autoscaling_config={
            "min_replicas": scale.tail_replicas_min,
            "max_replicas": scale.tail_replicas_max,
            "target_ongoing_requests": scale.tail_ongoing,
        },
        ray_actor_options={"num_cpus": scale.tail_cpus},
        graceful_shutdown_timeout_s=config.drain_s,
    )(Tails)
    ingress = serve.deployment(
        name="ingress",
        num_replicas=scale.ingress_replicas,
        max_ongoing_requests=_INGRESS_CALLS_MAX,
        ray_actor_options={"num_cpus": scale.ingress_cpus},
        graceful_shutdown_timeout_s=config.drain_s,
    )(serve.ingress()(Ingress))
    return ingress.bind(config, tails.bind(config))


def app(arguments: Mapping[str, Any]) -> serve.Application:
    """What ``serve run splitfer.cloud_server.ray_app:app key=value ...`` runs: settings as of
    ``cloud-server serve``, from the file ``config``, the environment, then these arguments.

    Raises:
        ConfigError: a setting is wrong.
    """
    flags = dict(arguments)
    file = flags.pop("config", None)
    return application(load_settings(CloudConfig, PREFIX, Path(file) if file else None, flags))
