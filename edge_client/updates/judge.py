"""Whether weights give right numbers on this device, asked in a process of its own: what crashes or
eats the memory there does not touch the run.

    python -m splitfer.edge_client.updates.judge FOLDER LOCAL_MODEL RATE LABELS PRIOR
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from splitfer.edge_client.config import EdgeConfig
from splitfer.shared.errors import ConfigError, SplitFerError, WeightsError
from splitfer.shared.peer_words import peer_words

PATIENCE_S = 180.0
"""A small device that answers meanwhile takes some seconds."""

_LOOK_EVERY_S = 0.1
# Python itself ends with 1 and 2.
_WRONG, _OTHER_SETTINGS = 3, 4
# Signals that a program gets for what it does. What else ends it is no verdict: KILL and ABRT come
# where no memory is left.
_CRASHES = {-number for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)}


class NotJudged(SplitFerError):
    """There is no verdict: the device lacked memory or time, say. Another time there may be."""

    code = "weights"
    retryable = True


def judge(
    folder: Path,
    config: EdgeConfig,
    stopped: Callable[[], bool] = lambda: False,
    patience_s: float = PATIENCE_S,
) -> None:
    """Return where hashes and golden answers agree, or once ``stopped`` says that nobody waits.

    Raises:
        WeightsError: they do not, or what they do ends the process that looks.
        NotJudged: it could not be found out.
        ConfigError: they are right, and have not what ``config`` names (a rate, a local model).
    """
    wanted = (config.local_model, config.rate, config.labels or "", config.prior or "")
    # -P: no module of the working folder is taken for one of ours.
    command = [sys.executable, "-P", "-m", __name__, str(folder), *map(str, wanted)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,  # a terminal's Ctrl-C says nothing of the weights
        )
    except OSError as error:
        raise NotJudged(f"they could not be judged: {error.strerror}") from error
    with process:
        end_s = time.monotonic() + patience_s
        while True:
            try:
                said = process.communicate(timeout=_LOOK_EVERY_S)[1]
                break
            except subprocess.TimeoutExpired:
                if stopped():
                    process.kill()
                    return
                if time.monotonic() > end_s:
                    process.kill()
                    raise NotJudged(
                        f"their golden answers took longer than {patience_s:g} s"
                    ) from None
    code = process.returncode
    last = peer_words(said.decode(errors="replace").strip().rpartition("\n")[2])
    if code == _OTHER_SETTINGS:
        raise ConfigError(last)
    if code == _WRONG:
        raise WeightsError(last)
    if code in _CRASHES:
        raise WeightsError(f"judging them ended by signal {-code}")
    if code:
        raise NotJudged(f"they could not be judged (code {code}): {last}")


def main(folder: str, local_model: str, rate: str, labels: str, prior: str) -> int:
    """0 where they are right, else 3, or 4 (other settings), and a line that says what is wrong."""
    from splitfer.shared.labels import LabelSet
    from splitfer.shared.prior import Prior
    from splitfer.shared.weights import Weights

    try:
        weights = Weights(Path(folder))
        weights.payload_codec  # noqa: B018  # whose tables are read now
        weights.head(1)
        weights.tail(weights.local_tail(local_model), 1)
        weights.check_names(
            local_model,
            rate,
            LabelSet(labels) if labels else None,
            Prior(prior) if prior else None,
        )
    except SplitFerError as error:
        print(str(error).replace("\n", " "), file=sys.stderr)
        return _OTHER_SETTINGS if isinstance(error, ConfigError) else _WRONG
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
