"""``cloud-server serve --engine ray``: the application on a Ray of its own, or on a running one."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.errors import ConfigError
from splitfer.shared.extras import how_to_install

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

APPLICATION = "splitfer"
SERVICES = "splitfer.cloud_server.ray_grpc.add_services"
# Ours are small; Ray's default would take a third of the machine's memory.
_OBJECT_STORE_BYTES = 128 * 2**20
_SLACK_BYTES = 64 * 2**10

# For a replica to hear what it is to do, and between two looks at whether it has.
_HEARD_S, _LOOK_S = 1.0, 0.05

log = logging.getLogger("splitfer.cloud_server")


def serve(config: CloudConfig) -> None:
    """Load, listen, and answer until SIGTERM or SIGINT; then drain.

    Joins the cluster that ``RAY_ADDRESS`` names; starts a Ray of its own where it is not set.

    Raises:
        ConfigError: Ray is not installed, or a setting does not go with it.
        WeightsError: the weights cannot be used.
    """
    if config.tls:
        raise ConfigError(
            "tls_cert: Ray's proxy takes no TLS for gRPC; end TLS in front of it, or use the "
            "engine 'process'"
        )
    _prepare(config)
    signal.signal(
        signal.SIGHUP, lambda *_: log.warning("engine ray: nothing was reloaded: start anew")
    )
    try:
        import ray
        from ray import serve as ray_serve
    except ImportError as error:
        raise ConfigError(f"engine: ray is not installed: {how_to_install('ray')}") from error
    from splitfer.cloud_server.ray_serve.app import application

    registry = Registry.load(config)  # says what is wrong with it before Ray takes its seconds
    default = registry.default
    grpc_port = config.grpc_port or _free_port()
    http_port = config.http_port or _free_port()
    joins = "RAY_ADDRESS" in os.environ
    local = (
        {}
        if joins
        else {
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    )
    ray.init(logging_level=config.log_level.upper(), **local)
    try:
        stop, hurry = threading.Event(), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: hurry.set() if stop.is_set() else stop.set())
        ray_serve.start(
            proxy_location="EveryNode" if joins else "HeadOnly",
            http_options={"host": config.host, "port": http_port},
            grpc_options={"port": grpc_port, "grpc_servicer_functions": [SERVICES]},
        )
        ingress = ray_serve.run(application(config), name=APPLICATION, route_prefix="/")
        if config.token is None and config.tokens is None:
            log.warning("Ray's proxy listens for gRPC on every address, and no token is set")
        log.info(
            "serving %s (tail %s) on grpc %s:%d, http %s:%d",
            default.fingerprint,
            next(iter(default.tails)),
            config.host,
            grpc_port,
            config.host,
            http_port,
        )
        stop.wait()
        _drain(ingress, config, hurry)
        if joins:
            ray_serve.delete(APPLICATION)
    finally:
        ray.shutdown()  # of our own all processes
    log.info("stopped")


def _drain(ingress: DeploymentHandle[Any], config: CloudConfig, hurry: threading.Event) -> None:
    """As the engine 'process' does, in every replica that callers reach; the proxies listen on."""
    if config.lame_duck_s:
        log.info("leaving: serving for %g s more while readiness says no", config.lame_duck_s)
        _all_replicas(ingress, "leave", _HEARD_S)
        hurry.wait(config.lame_duck_s)
    log.info("draining")
    drained = threading.Event()

    def drain() -> None:
        _all_replicas(ingress, "drain", config.drain_s + _HEARD_S)
        drained.set()

    threading.Thread(target=drain, name="drain", daemon=True).start()
    while not drained.wait(_LOOK_S):
        if hurry.is_set():
            _all_replicas(ingress, "hurry", _HEARD_S)
            drained.wait(_HEARD_S)
            return


def _all_replicas(ingress: DeploymentHandle[Any], method: str, within_s: float) -> None:
    try:
        ingress.broadcast(method).results(timeout_s=within_s, return_exceptions=True)
    except Exception as error:  # a replica is gone, or hangs: the stop goes on
        log.warning("not every replica could be told to %s: %s", method, error)


def _prepare(config: CloudConfig) -> None:
    """What Ray reads from the environment when it is imported, and hands to its processes."""
    limits = config.limits
    most = max(limits.body_bytes, limits.infer_message_bytes) + _SLACK_BYTES
    os.environ.setdefault("RAY_SERVE_GRPC_MAX_MESSAGE_SIZE", str(most))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # The lines of its processes, in no colours: they are for a log.
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    # Ray's processes step back for any other (niceness 15); these are the server itself.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # On a small or a busy machine the start takes longer than Ray waits by itself.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")


def _free_port() -> int:
    # Ray takes no port 0. Another process may take this one before Ray does: the start then fails.
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
