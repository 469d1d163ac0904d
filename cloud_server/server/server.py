"""gRPC and HTTP in one process and one event loop, from start to drained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from splitfer.cloud_server.admission.health import Phase
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.grpc_api.server import GrpcServer
from splitfer.cloud_server.rest_api.app import http_app
from splitfer.cloud_server.rest_api.latent_streams import LatentStreams
from splitfer.cloud_server.rest_api.server import LAST_WORDS_S, HttpServer, bound
from splitfer.cloud_server.server.freed_memory import giving_back
from splitfer.cloud_server.server.parts import Parts
from splitfer.cloud_server.server.pid_file import pid_written
from splitfer.cloud_server.server.process import give_memory_back, keep_what_is_loaded, run_as_batch
from splitfer.cloud_server.server.reload import reload
from splitfer.cloud_server.weights.folder_watcher import watching
from splitfer.cloud_server.weights.registry import Registry

log = logging.getLogger("splitfer.cloud_server")


async def serve(
    config: CloudConfig, read: Callable[[], CloudConfig], reload_came: Callable[[], bool]
) -> None:
    """Load, listen, and answer until SIGTERM or SIGINT; then drain. A second signal cuts it short.
    On SIGHUP, what ``read`` gives anew is put in force as far as that goes; ``reload_came`` says
    whether one came before this could hear it.

    Raises:
        ConfigError: a port is taken, a certificate or key cannot be used, or a setting does not fit
            the weights.
        WeightsError: the weights cannot be used.
    """
    give_memory_back()
    run_as_batch()
    config.certificates()  # what is wrong with them is said before weights take their seconds
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: hurry.set() if stop.is_set() else stop.set())

    if config.grpc_port:  # gRPC binds it by itself, once the weights are there, and says no reason
        bound(config, "grpc_port").close()
    with (
        pid_written(config.pid_file),
        contextlib.closing(bound(config, "http_port")) as listener,
    ):
        parts = Parts(config, Registry.load(config))
        again = partial(reload, config, parts.access, parts.tls, read)
        loop.add_signal_handler(signal.SIGHUP, again)
        if reload_came():
            again()
        try:
            async with watching(config, parts.registry, stop):
                await _serve(parts, listener, stop, hurry)
        finally:
            await parts.close()
    log.info("stopped; %s", parts.metrics.summary())


async def _serve(
    parts: Parts, listener: socket.socket, stop: asyncio.Event, hurry: asyncio.Event
) -> None:
    config = parts.config
    app = http_app(
        config,
        parts.service,
        parts.admission,
        parts.observer,
        parts.metrics,
        parts.registry,
        parts.budget,
    )
    streams = LatentStreams(
        app, parts.service, parts.admission, parts.observer, parts.budget, config
    )
    http = HttpServer(listener, config, streams, parts.tls, parts.bounds, parts.admission)
    grpc_server = GrpcServer(
        config,
        parts.service,
        parts.admission,
        parts.observer,
        parts.tls,
        parts.bounds,
        parts.budget,
        parts.standing,
        parts.handed_out,
    )
    parts.start()
    await grpc_server.start()
    http_task = asyncio.create_task(http.run_here(), name="http")
    listening = asyncio.create_task(http.listening.wait())
    await asyncio.wait((http_task, listening), return_when=asyncio.FIRST_COMPLETED)
    if not listening.done():
        listening.cancel()
        await http_task

    keep_what_is_loaded()
    parts.health.phase = Phase.SERVING
    grpc_server.tell()
    model = parts.service.model()
    if config.beyond_loopback and not config.tls:
        log.warning(
            "listening on %s without TLS: faces and answers can be read on the way; set tls_cert "
            "and tls_key, or put a proxy in front",
            config.host,
        )
    parts.tls.warn()
    if len(model.served) > 1:
        log.info("devices may also have weights %s", ", ".join(model.served[1:]))
    log.info(
        "serving %s (tail %s) on grpc %s, http %s",
        model.fingerprint,
        model.tails[0],
        grpc_server.address,
        http.address,
    )

    freed = asyncio.create_task(giving_back(lambda: parts.held_bytes + http.held_bytes))
    waits = [asyncio.create_task(stop.wait()), http_task]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    waits[0].cancel()
    freed.cancel()
    await _drain(parts, grpc_server, http, http_task, hurry)


async def _drain(
    parts: Parts,
    grpc_server: GrpcServer,
    http: HttpServer,
    http_task: asyncio.Task[None],
    hurry: asyncio.Event,
) -> None:
    """Perhaps serve on for a while; then new work is refused, work in flight ends or its time does,
    and the listeners close."""
    if (lame_duck_s := parts.config.lame_duck_s) and not http_task.done():
        parts.health.phase = Phase.LEAVING
        grpc_server.tell()
        log.info("leaving: serving for %g s more while readiness says no", lame_duck_s)
        await _within(lame_duck_s, hurry.wait())
    parts.health.phase = Phase.DRAINING
    grpc_server.drain()
    http.drain()
    log.info("draining")
    # The listeners stay open meanwhile, so that probes see it and callers get our refusal.
    if not await parts.finish(hurry):
        http.hang_up()  # on those that wait still, such as for the rest of a body
    http.should_exit = True
    grpc_task = asyncio.create_task(grpc_server.stop(LAST_WORDS_S))
    # gRPC's takes as long as it has to read of what hostile peers sent.
    ended, _ = await asyncio.wait((grpc_task, http_task), timeout=2 * LAST_WORDS_S)
    for one in ended:
        one.result()


async def _within(seconds: float, what: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(what, seconds)
