"""Runs the policy in virtual time:
``python -m benchmarks policy_sim --plot docs/device/policy.png``.

What the ways gain and how many bytes they take stands in the weights' manifest, what the stages
take in ``benchmarks/results/edge.json``. Says how a strategy would do, not how fast anything here
is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

from benchmarks.link.simulated_link import GOOD, OUT, LinkNow, Trace
from benchmarks.link.simulation import FrameLog, SimulatedDevice, Simulation
from splitfer.edge_client.choices import Objective
from splitfer.edge_client.policy.policy import PolicySettings
from splitfer.edge_client.policy.routes import candidates
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.weights import Weights, default_folder
from training.study.figure_file import figure_path, save_figure

DEADLINE_MS = 150.0
# A walk through town: good, narrow, far, nothing, good; then a network that comes and goes.
WALK = Trace(
    "walk",
    (
        (0.0, GOOD),
        (15.0, LinkNow(30_000, 20, jitter_ms=3)),
        (30.0, LinkNow(500_000, 150, jitter_ms=20)),
        (45.0, OUT),
        (55.0, GOOD),
        *((70.0 + 3 * n, (OUT, GOOD)[n % 2]) for n in range(6)),
    ),
    90.0,
)


def report(logs: Sequence[FrameLog], deadline_ms: float) -> dict[str, Any]:
    """A run's figures."""
    times_ms = sorted(one.total_ms for one in logs)
    held = [one.decision.held for one in logs]
    return {
        "frames": len(logs),
        "late": sum(ms > deadline_ms for ms in times_ms),
        "latency_ms": {
            "p50": round(statistics.median(times_ms), 1),
            "p99": round(times_ms[math.ceil(0.99 * len(times_ms)) - 1], 1),
        },
        "by_path": Counter(one.answered_by.value for one in logs),
        "switches": sum(a != b for a, b in itertools.pairwise(held)),
        "probes": sum(one.probe for one in logs),
        "sent_bytes": sum(one.sent_bytes for one in logs),
    }


def draw(logs: Sequence[FrameLog], trace: Trace, settings: PolicySettings, to: FilePath) -> None:
    """The link, the candidate chosen and the latency over time, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    figure, (link, chosen, latency) = plt.subplots(
        3, 1, figsize=(9, 7), sharex=True, layout="constrained"
    )
    at_s = [n / 10 for n in range(int(trace.end_s * 10))]
    rates = [0 if trace.at(s).dead == 1 else trace.at(s).bytes_per_s / 1000 for s in at_s]
    link.step(at_s, rates, where="post", color="tab:blue")
    link.set_ylabel("link, KB/s", color="tab:blue")
    link.set_ylim(0)
    rtt = link.twinx()
    rtt.step(at_s, [trace.at(s).rtt_ms for s in at_s], where="post", color="tab:orange", ls=":")
    rtt.set_ylabel("round trip, ms", color="tab:orange")
    rtt.set_ylim(0)
    link.set_title("A link that changes, and what `auto` makes of it (simulated)")

    # From the least accurate upwards.
    names = [one.name for one in sorted(settings.candidates, key=lambda one: one.merit)]
    for probe, marker, label in ((False, ".", "chosen"), (True, "x", "tried")):
        some = [one for one in logs if one.probe is probe]
        what = [(one.decision.probe or one.decision.chosen).name for one in some]
        chosen.plot(
            [one.at_s for one in some],
            [names.index(name) for name in what],
            marker,
            color="tab:red" if probe else "black",
            label=label,
        )
    chosen.set_yticks(range(len(names)), names)
    chosen.legend(loc="center right")

    for path, colour in ((AnswerPath.LOCAL, "tab:gray"), (AnswerPath.CLOUD, "tab:blue")):
        some = [one for one in logs if one.answered_by is path]
        latency.plot(
            [one.at_s for one in some],
            [one.total_ms for one in some],
            ".",
            color=colour,
            label=f"answered by {path.value}",
        )
    latency.axhline(settings.deadline_ms, color="tab:red", ls="--", label="deadline")
    latency.set_ylabel("latency, ms")
    latency.set_xlabel("seconds")
    latency.set_ylim(0, 1.25 * settings.deadline_ms)
    latency.legend(loc="upper center", ncols=3)
    for axes in (link, chosen, latency):
        axes.grid(alpha=0.3)
    save_figure(figure, to, dpi=110)
    plt.close(figure)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="the policy on a simulated link")
    parser.add_argument("--objective", choices=[one.value for one in Objective], default="accuracy")
    parser.add_argument("--slower", type=float, default=1.0, help="than the core that was measured")
    parser.add_argument("--weights", type=FilePath, help="folder; else the default")
    parser.add_argument("--plot", type=figure_path, metavar="FILE.png")
    arguments = parser.parse_args()
    objective, manifest = (
        Objective(arguments.objective),
        Weights(arguments.weights or default_folder()).manifest,
    )
    ways = candidates(manifest, together=objective is Objective.ACCURACY)
    settings = PolicySettings(ways, DEADLINE_MS, objective)
    device = SimulatedDevice.measured().slower(arguments.slower)
    logs = Simulation(WALK, device, settings, manifest).run()
    if arguments.plot:
        draw(logs, WALK, settings, arguments.plot)
    print(json.dumps(report(logs, settings.deadline_ms)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
