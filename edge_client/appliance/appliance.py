"""What makes a run a device that can be left alone: where its answers go, and its health.

frames -> Outputs -> RunStatus -> MQTT state
                 \\-> Outgoing -> outbox -> MQTT answers, webhook
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from importlib.metadata import version
from typing import Any, Self

from splitfer.edge_client.appliance.audit import AuditLog, settings_mark
from splitfer.edge_client.appliance.books import Books
from splitfer.edge_client.appliance.clocks import Clocks
from splitfer.edge_client.appliance.house import House
from splitfer.edge_client.appliance.http_server import open_http_server
from splitfer.edge_client.appliance.systemd import SystemdNotice, WatchdogThread
from splitfer.edge_client.choices import Policy
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.recognizer import Recognizer
from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.settings.state_folder import state_folder
from splitfer.edge_client.sinks.aggregate import Aggregate
from splitfer.edge_client.sinks.blur import Blurred
from splitfer.edge_client.sinks.health_note import HealthNote
from splitfer.edge_client.sinks.mqtt_messages import state_message
from splitfer.edge_client.sinks.outbox import MB, Outbox
from splitfer.edge_client.sinks.outgoing import Outgoing
from splitfer.edge_client.sinks.outputs import Outputs
from splitfer.edge_client.sinks.records import Origin, rfc3339
from splitfer.edge_client.sinks.run_status import STILL_FLOWS_S, Health, Newest, RunStatus
from splitfer.edge_client.sinks.sink import Sink
from splitfer.edge_client.source_name import slug
from splitfer.edge_client.sources.base import Source
from splitfer.shared.extras import needing
from splitfer.shared.settings import printable

_CLOCKS = Clocks()

_log = logging.getLogger(__name__)


class Appliance:
    """The parts of one run, or of one camera of a ``house``, that ``config`` asks for. A context
    manager: they work inside.

    Raises:
        ConfigError: a certificate, the outbox or a library is not as it must be.
    """

    def __init__(
        self,
        config: EdgeConfig,
        source: Source,
        recognizer: Recognizer,
        outputs: Outputs,
        purpose: str | None = None,
        exports: Sequence[str] = (),
        pictures_fault: Callable[[], str | None] = lambda: None,
        house: House | None = None,
        clocks: Clocks = _CLOCKS,
    ) -> None:
        self._house, self._clocks = house, clocks
        self._purpose, self._exports = purpose, exports
        self._pictures_fault = pictures_fault
        self._config, self._outputs = config, outputs
        self._name = config.device_id or socket.gethostname() or "edge"
        self._origin = Origin(self._name, config.source_name)
        self._version = version("splitfer")
        self._stack = ExitStack()
        self.control = Control(
            config.effective_policy,
            _policies(config),
            house.choose if house else recognizer.choose_policy,
            self._control_changed,
        )
        self._audit: AuditLog | None = None
        self._audit_fault: str | None = None
        self.status = RunStatus(clocks.monotonic)
        self.status.paused = lambda: self.control.paused
        self.status.server_away = lambda: recognizer.server_away
        self.status.failing = self._failing
        self.status.source_fault = lambda: source.fault
        self.status.facts["books"] = lambda: self._books.report()
        self._settings: dict[str, str | None] = {"since": rfc3339(clocks.wall()), "refused": None}
        self.status.facts["settings"] = lambda: dict(self._settings)
        self._recognizer = recognizer
        self._books = Books()
        self._outbox: Outbox | None = None
        outputs.add("status", self.status)
        if house is None:
            note = HealthNote(self.status)
            outputs.add("health", note, note.idle)
        if source.live and source.self_paced:
            self._audit = AuditLog(
                config.audit or state_folder() / "audit.jsonl", self._unaudited, clocks.wall
            )
        with ExitStack() as stack:
            self._start(stack, source)
            self._audit_start(stack, source)
            self._watchdog = stack.enter_context(closing(self._notice())) if house is None else None
            self._stack = stack.pop_all()

    def watch(self, books: Books) -> None:
        """Report by these books of the run from now on."""
        self._books = books

    def settings_refused(self, why: str) -> None:
        """Note that changed settings could not be used."""
        self._settings["refused"] = why
        self.add_audit_event("settings_refused", why=why)

    def add_audit_event(self, event: str, **facts: Any) -> None:
        """Add an event to the audit log."""
        if self._audit is not None:
            self._audit.add(event, **facts)

    @property
    def paused(self) -> Callable[[], bool]:
        """Whether frames go by unanswered."""
        return self.status.paused

    def report(self) -> dict[str, Any]:
        """For the summary: see docs/device/records.md."""
        return {"outbox": self._outbox.report() if self._outbox else None}

    def close(self, goes_on: bool = False) -> None:
        """Say goodbye everywhere; a second time does nothing. Where the run ``goes_on`` with other
        settings, systemd hears that it reloads."""
        if self._watchdog is not None:
            self._watchdog.close(goes_on)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, stack: ExitStack, source: Source) -> None:
        config = self._config
        readers = [
            name
            for name, wanted in (("mqtt", config.mqtt_answers), ("webhook", config.webhook))
            if wanted
        ]
        if readers:
            own = state_folder() / f"outbox-{slug(config.source_name or 'edge')}.db"
            self._outbox = Outbox(
                config.outbox or own,
                readers,
                int(config.outbox_max_mb * MB),
                config.outbox_max_age_h * 3600,
                self._clocks.since_boot,
                self._clocks.wall,
            )
            self.status.facts["outbox"] = self._outbox.report
            outgoing = Outgoing(
                self._outbox, self._origin, config.answers == "changes", self._clocks.monotonic
            )
            if config.privacy == "aggregate":
                totals = Aggregate(
                    outgoing.add, source.name, config.aggregate_every_s, self._origin
                )
                self._outputs.add("outbox", totals, totals.idle)
            else:
                self._outputs.add("outbox", outgoing)
            stack.callback(self._outputs.attempt, "outbox", self._outbox.close)
        self._start_webhook(stack)
        self._start_mqtt(stack, source)
        if self._house is None:
            self._start_server(stack, source)
            return
        name = config.source_name or source.name
        self._house.add(name, self.status, self.control)
        if (metrics := self._house.metrics_of(name)) is not None:
            self._outputs.add("metrics", metrics)

    def _start_webhook(self, stack: ExitStack) -> None:
        if self._config.webhook_address is None or self._outbox is None:
            return
        from splitfer.edge_client.sinks.webhook_open import opened_webhook

        webhook = opened_webhook(self._config, self._outbox, self._version)
        self.status.facts["webhook"] = webhook.report
        stack.callback(webhook.close)

    def _start_mqtt(self, stack: ExitStack, source: Source) -> None:
        if self._config.broker is None:
            return
        with needing("edge"):
            from splitfer.edge_client.sinks.mqtt_open import opened_mqtt

        mqtt = opened_mqtt(
            self._config,
            self._name,
            self._version,
            self.status,
            self.control,
            self._outbox,
            self._state_message(source),
        )
        self.status.facts["mqtt"] = mqtt.report
        stack.callback(mqtt.close)

    def _state_message(self, source: Source) -> Callable[[Newest | None, Health], dict[str, Any]]:
        if self._config.privacy != "aggregate":
            return state_message
        totals = Aggregate(
            lambda _: None, source.name, self._config.aggregate_every_s, self._origin
        )
        self._outputs.add("mqtt", totals, totals.idle)
        return totals.state

    def _start_server(self, stack: ExitStack, source: Source) -> None:
        config, address = self._config, self._config.listen_address
        if address is None:
            return
        with needing("edge"):
            from splitfer.edge_client.view.edge_metrics import EdgeMetrics
            from splitfer.edge_client.view.live_page import LivePage
            from splitfer.edge_client.view.server import Shown

        metrics = EdgeMetrics(self.status.report)
        self._outputs.add("metrics", metrics)
        page: LivePage | None = None
        if config.view:
            page = LivePage(
                config,
                self._name,
                source.name,
                self._recognizer,
                self.control,
                self.status,
                self._purpose,
            )
            frames: Sink = page.frames
            self._outputs.add("view", Blurred(frames) if config.blur_faces else frames)
        shown = Shown(
            lambda: (self.status.health().serves, dict(self.status.report())),
            metrics.page,
            self.control.obey,
            page.report if page else None,
        )
        stack.callback(open_http_server(config, address, shown).close)

    def _audit_start(self, stack: ExitStack, source: Source) -> None:
        audit, config = self._audit, self._config
        if audit is None:
            return
        _log.warning("%s is watched; purpose: %s", source.name, self._purpose)
        mark = settings_mark(self._house.settings if self._house else printable(config))
        audit.add_start(
            mark,
            config,
            self._exports,
            source=source.name,
            purpose=self._purpose,
            version=self._version,
        )
        stack.callback(lambda: audit.add("stop", source=source.name, **self._books.report()))

    def _control_changed(self, what: str, by: str) -> None:
        if self._audit is not None:
            self._audit.add("changed", what=what, by=by)

    def _unaudited(self, words: str) -> None:
        if words != self._audit_fault:
            _log.error("%s", words)
        self._audit_fault = words

    def _notice(self) -> WatchdogThread:
        """systemd's watchdog is fed while frames flow, or are meant not to."""
        return WatchdogThread(
            SystemdNotice(
                lambda: self.control.paused or self.status.quiet_s() < STILL_FLOWS_S,
                lambda: self.status.health().value.replace("_", " "),
            )
        )

    def _failing(self) -> str | None:
        for name, words in list(self._outputs.failing.items()):
            return f"{name}: {words}"
        if self._outbox is not None and self._outbox.fault is not None:
            return f"outbox: {self._outbox.fault}"
        return self._pictures_fault() or self._audit_fault


def _policies(config: EdgeConfig) -> list[Policy]:
    if config.server is None:
        return [Policy.LOCAL]
    return [policy for policy in Policy if policy is not Policy.IMAGE or not config.crops]
