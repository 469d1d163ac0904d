"""REST for operators: which weights are served, and changes of it without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.rest_api.doorkeeper import caller_of
from splitfer.cloud_server.rest_api.schema import ErrorBody
from splitfer.cloud_server.weights.registry import Registry
from splitfer.cloud_server.weights.root import folder_under
from splitfer.cloud_server.weights.served import ServedWeights
from splitfer.shared.errors import SplitFerError
from splitfer.shared.wire import ADMIN_MODELS, PREVIOUS

_FINGERPRINT = r"^[0-9a-f]{16}$"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": meaning}
    for status, meaning in {
        401: "The bearer token is missing or wrong.",
        403: "The token lacks the scope 'admin'.",
        409: "Not possible now; the message says why. Everything is served as before.",
        422: "The weights cannot be used, or a parameter is wrong.",
        429: "The caller has had its share.",
        503: "Starting or draining.",
    }.items()
}

log = logging.getLogger(__name__)


class ServedBody(BaseModel):
    """Weights on the server. ``leaving`` ones only finish what they have begun."""

    fingerprint: str
    state: Literal["default", "serving", "leaving"]
    tails: list[str] = Field(description="the first is the default")
    requests: int = Field(description="in flight")
    folder: str


class ModelsBody(BaseModel):
    """All weights on the server, the default first."""

    models: list[ServedBody]
    previous: str | None = Field(description="what a rollback would make the default")


class LoadBody(BaseModel):
    """What to load."""

    folder: str = Field(
        min_length=1, max_length=4096, description="absolute, or relative to a weights_root"
    )
    default: bool = Field(False, description="make it the default once it is served")


class DefaultBody(BaseModel):
    """Which weights shall answer whole pictures."""

    fingerprint: str = Field(pattern=rf"{_FINGERPRINT}|^{PREVIOUS}$")


def admin_routes(registry: Registry, config: CloudConfig) -> APIRouter:
    """The routes; all of them ask for the scope ``admin``."""
    router = APIRouter(prefix=ADMIN_MODELS, tags=["admin"], responses=_REFUSALS)

    @contextmanager
    def admitted(request: Request, wish: str) -> Iterator[None]:
        caller = caller_of(request)
        try:
            yield
            log.info("%s asked to %s: done", caller.name, wish)
        except SplitFerError as error:
            log.warning("%s asked to %s: %s", caller.name, wish, error)
            raise

    @router.get("", summary="All weights on the server")
    async def listed(request: Request) -> ModelsBody:
        with admitted(request, "list weights"):
            return _models(registry)

    @router.post("", summary="Load weights; while they load, all others are served")
    async def load(request: Request, wanted: LoadBody) -> ModelsBody:
        with admitted(request, f"load {wanted.folder!r}"):
            folder = folder_under(config.weights_root, wanted.folder)
            await registry.add(folder, wanted.default)
            return _models(registry)

    @router.put("/default", summary="Switch the default, or roll back to the previous one")
    async def default(request: Request, wanted: DefaultBody) -> ModelsBody:
        if wanted.fingerprint == PREVIOUS:
            with admitted(request, "roll back"):
                registry.roll_back()
        else:
            with admitted(request, f"make {wanted.fingerprint} the default"):
                registry.make_default(wanted.fingerprint)
        return _models(registry)

    @router.delete("/{fingerprint}", summary="Unload weights once their requests are answered")
    async def unload(
        request: Request, fingerprint: Annotated[str, Path(pattern=_FINGERPRINT)]
    ) -> ModelsBody:
        with admitted(request, f"unload {fingerprint}"):
            # Shielded: it goes on where its caller has hung up.
            await asyncio.shield(registry.remove(fingerprint))
            return _models(registry)

    return router


def _models(registry: Registry) -> ModelsBody:
    models = [_body(weights, "serving") for weights in registry.served]
    models[0].state = "default"
    models += [_body(weights, "leaving") for weights in registry.leaving]
    return ModelsBody(models=models, previous=registry.previous)


def _body(weights: ServedWeights, state: Literal["serving", "leaving"]) -> ServedBody:
    return ServedBody(
        fingerprint=weights.fingerprint,
        state=state,
        tails=list(weights.tails),
        requests=weights.requests,
        folder=str(weights.weights.folder),
    )
