"""The listening HTTP server: uvicorn with our bounds on connections, headers and waits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Literal

import uvicorn

from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.bounds import Bounds
from splitfer.cloud_server.admission.tls import ServerTls
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.rest_api.doorway import Doorway
from splitfer.cloud_server.rest_api.latent_streams import LatentStreams
from splitfer.cloud_server.rest_api.protocol import HEADER_BYTES, bounded_http
from splitfer.cloud_server.rest_api.stream_message import most_message_bytes
from splitfer.cloud_server.rest_api.websocket import bounded_websocket
from splitfer.shared.errors import ConfigError

# For replies that are being written. Not longer: a health watch is a call that never ends.
LAST_WORDS_S = 0.5
# Of a connection whose caller takes nothing of its reply; measured by `make attack`.
_CONNECTION_BYTES = 256 * 2**10


class HttpServer(uvicorn.Server):
    """uvicorn on ``listener``; signals are the process's, not its own. ``streams`` is the whole
    application, with the WebSockets of latents."""

    def __init__(
        self,
        listener: socket.socket,
        config: CloudConfig,
        streams: LatentStreams,
        tls: ServerTls,
        bounds: Bounds,
        admission: Admission,
    ) -> None:
        self._listener, self._streams, self._settings = listener, streams, config
        self._turns = admission.turns
        self._connections_max, self._wait_s = bounds.http_connections, config.wait_s
        host = f"[{config.host}]" if ":" in config.host else config.host
        self.address = f"{host}:{listener.getsockname()[1]}"
        self.listening = asyncio.Event()
        super().__init__(_uvicorn_config(config, streams, tls, bounds, admission))

    async def run_here(self) -> None:
        """Serve until ``should_exit``."""
        await self.serve(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, by a door of ours: uvicorn's does not know of connections before TLS."""
        await super().startup([])
        doorway = Doorway(
            self._listener,
            self._protocol,
            self._connections_max,
            self._wait_s,
            self.config.ssl,
            self._turns,
        )
        try:
            doorway.open(self.config.backlog)
        except OSError as error:  # another server was quicker, while the weights were loaded
            raise _cannot_listen(self._settings, "http_port", error) from error
        self.servers.append(doorway)  # type: ignore[arg-type]  # which are closed
        self.listening.set()

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @property
    def held_bytes(self) -> int:
        """About what its connections hold beside what their callers have sent."""
        return _CONNECTION_BYTES * len(self.server_state.connections)

    def drain(self) -> None:
        """Streams end once what they have read is answered."""
        self._streams.drain()

    def hang_up(self) -> None:
        """End what is being answered; ``Ended`` refuses it."""
        for task in self.server_state.tasks:
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers: the process has its own."""
        yield


def bound(config: CloudConfig, setting: Literal["grpc_port", "http_port"]) -> socket.socket:
    """A socket on the port of ``setting``, not listening yet.

    Raises:
        ConfigError: the address cannot be had, or the port is taken.
    """
    port = getattr(config, setting)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"host: cannot listen on {config.host}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_listen(config, setting, error) from error
    return listener


def _cannot_listen(config: CloudConfig, setting: str, error: OSError) -> ConfigError:
    host = f"[{config.host}]" if ":" in config.host else config.host
    where = f"{host}:{getattr(config, setting)}"
    return ConfigError(f"{setting}: cannot listen on {where}: {error.strerror}")


def _uvicorn_config(
    config: CloudConfig, app: LatentStreams, tls: ServerTls, bounds: Bounds, admission: Admission
) -> uvicorn.Config:
    http = uvicorn.Config(
        app,
        http=bounded_http(config.wait_s, bounds.http_connections, admission),
        timeout_keep_alive=config.keep_alive_s,  # type: ignore[arg-type]  # any number of seconds
        h11_max_incomplete_event_size=HEADER_BYTES,
        log_config=None,
        access_log=False,  # the observer writes it, with the request's id
        lifespan="off",
        server_header=False,
        ws=bounded_websocket(config.receive_s, config.wait_s) if app.offered else "none",
        ws_max_size=most_message_bytes(config.limits),
        ws_per_message_deflate=False,  # latents are packed already
        timeout_graceful_shutdown=LAST_WORDS_S,  # type: ignore[arg-type]  # any number of seconds
    )
    http.load()
    http.ssl = tls.context()
    return http
