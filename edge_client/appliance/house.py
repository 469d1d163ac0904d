"""What several cameras of one run have in common: the policy, and who asks how they are.

A house is as well as the camera that is worst off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import Any

from splitfer.edge_client.appliance.http_server import open_http_server
from splitfer.edge_client.appliance.systemd import SystemdNotice, WatchdogThread
from splitfer.edge_client.choices import Policy
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.sinks.health_note import HealthNote
from splitfer.edge_client.sinks.run_status import STILL_FLOWS_S, Health, RunStatus
from splitfer.shared.extras import needing

# The worst first; a camera that is waited for comes before those that work.
_WORST = (
    Health.NO_PICTURE,
    Health.OUTPUT_FAILING,
    Health.WAITING,
    Health.STARTING,
    Health.PAUSED,
    Health.SERVER_AWAY,
    Health.OK,
)


class House:
    """``settings`` are those that hold for all, printed; ``choose`` makes the recognizer obey a
    policy. Safe to use from several threads. ``start`` begins to answer who asks."""

    def __init__(self, config: EdgeConfig, settings: str, choose: Callable[[Policy], None]) -> None:
        self.settings = settings
        self.faults: dict[str, str] = {}
        """Why a camera is given up, by its name."""
        self._config, self._choose = config, choose
        self._statuses: dict[str, RunStatus] = {}
        self._controls: dict[str, Control] = {}
        self._metrics: dict[str, Any] = {}
        self._stack = ExitStack()

    def add(self, name: str, status: RunStatus, control: Control) -> None:
        """Add a camera."""
        self._statuses[name], self._controls[name] = status, control

    def metrics_of(self, name: str) -> Any:
        """The sink of a camera's counts; None where nobody asks for them."""
        if self._config.listen_address is None:
            return None
        with needing("edge"):
            from splitfer.edge_client.view.edge_metrics import EdgeMetrics

        return self._metrics.setdefault(name, EdgeMetrics(self._statuses[name].report))

    def choose(self, policy: Policy) -> None:
        """Answer all by another policy.

        Raises:
            ConfigError: it does not go with the settings.
        """
        self._choose(policy)
        for control in list(self._controls.values()):
            control.follow(policy)

    def health(self) -> Health:
        """The health of the camera that is worst off."""
        if self.faults:
            return Health.NO_PICTURE
        found = [status.health() for status in list(self._statuses.values())]
        return next((health for health in _WORST if health in found), Health.STARTING)

    def failing(self) -> str | None:
        """What fails, with the camera's name."""
        for name, words in list(self.faults.items()):
            return f"{name}: {words}"
        return self._first(lambda status: status.failing())

    def source_fault(self) -> str | None:
        """Which camera is waited for, and why."""
        return self._first(lambda status: status.source_fault())

    def report(self) -> Mapping[str, Any]:
        """The health of the house, and the report of each camera."""
        return {
            "health": self.health().value,
            "failing": self.failing(),
            "waiting_for": self.source_fault(),
            "cameras": {
                name: dict(status.report()) for name, status in list(self._statuses.items())
            },
        }

    def start(self) -> None:
        """Answer who asks, feed systemd's watchdog while any camera's frames flow.

        Raises:
            ConfigError: it cannot listen there.
        """
        note = HealthNote(self)
        self._stack.callback(note.close)
        self._watchdog = WatchdogThread(_Notice(self._flows, self._words, note))
        self._stack.enter_context(closing(self._watchdog))
        address = self._config.listen_address
        if address is None:
            return
        with needing("edge"):
            from splitfer.edge_client.view.edge_metrics import page_of
            from splitfer.edge_client.view.server import Shown

        shown = Shown(
            lambda: (self.health().serves, dict(self.report())),
            lambda: page_of(self._metrics),
            self._obey,
        )
        self._stack.callback(open_http_server(self._config, address, shown).close)

    def close(self, goes_on: bool = False) -> None:
        """Answer nobody any more; a second time does nothing."""
        self._watchdog.close(goes_on)
        self._stack.close()

    def _first(self, words: Callable[[RunStatus], str | None]) -> str | None:
        for name, status in list(self._statuses.items()):
            if (found := words(status)) is not None:
                return f"{name}: {found}"
        return None

    def _flows(self) -> bool:
        return any(
            status.paused() or status.quiet_s() < STILL_FLOWS_S
            for status in list(self._statuses.values())
        )

    def _words(self) -> str:
        return self.health().value.replace("_", " ")

    def _obey(self, asked: dict[str, Any]) -> None:
        for control in list(self._controls.values()):
            control.obey(asked)


class _Notice(SystemdNotice):
    def __init__(
        self, flows: Callable[[], bool], words: Callable[[], str], note: HealthNote
    ) -> None:
        super().__init__(flows, words)
        self._note = note

    def tick(self) -> None:
        self._note.idle()
        super().tick()
