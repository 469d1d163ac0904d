"""Where a server is worth asking: what `auto` gains over the device alone, and what it costs.

Of each device and link: the paths that answered, the points gained by the manifest's figures, and
milliseconds, bytes and the device's own processor time a face, beside those of `local`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.link.summary import by_point
from training.study.figure_file import save_figure

Row = dict[str, Any]
COLOURS = {"local": "#e0e0e0", "cloud": "#9ecae1", "cloud+local": "#a1d99b", "image": "#fdae6b"}


def worth(result: Row, strategy: str = "auto") -> list[Row]:
    """A row for each device and link: ``paths`` (shares), ``points``, ``ms``, ``bytes`` and
    ``device_ms``, the last four as ``strategy`` less `local`."""
    rows = []
    for (device, rate, round_trip_ms, loss), point in by_point(result["rows"]).items():
        chosen, alone = point[strategy], point["local"]
        total = sum(chosen["paths"].values())
        shares: dict[str, float] = {}
        for name, count in chosen["paths"].items():
            path = name.partition(":")[0]
            shares[path] = shares.get(path, 0.0) + count / total
        factor = result["devices"][device]["factor"]
        rows.append({
            "device": device, "kilobytes_per_s": rate, "round_trip_ms": round_trip_ms,
            "loss": loss, "paths": shares,
            "points": 100 * (chosen["accuracy"] - alone["accuracy"]),
            "ms": chosen["p50_ms"] - alone["p50_ms"], "bytes": chosen["bytes_mean"],
            "device_ms": factor * (chosen["processor_ms"] - alone["processor_ms"]),
        })  # fmt: skip
    return rows


def most_used(row: Row) -> str:
    """The path that answered most faces."""
    shares: dict[str, float] = row["paths"]
    return max(shares, key=lambda path: shares[path])


def cell(row: Row) -> list[str]:
    """The row in words."""
    paths = ", ".join(f"{path} {share:.0%}" for path, share in row["paths"].items())
    return [
        paths,
        f"{row['points']:+.1f} points",
        f"{row['ms']:+.0f} ms, {row['bytes']:.0f} B",
        f"{row['device_ms']:+.0f} ms of processor",
    ]


def draw(result: Row, file: Path) -> None:
    """A field for each device and link, coloured by the path that `auto` took most, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")  # no screen is needed
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    rows = worth(result)
    devices = list(dict.fromkeys(row["device"] for row in rows))
    links = list(dict.fromkeys(_link(row) for row in rows))
    figure, axes = plt.subplots(
        figsize=(2.3 * len(links) + 1, 1.2 * len(devices) + 1.4), layout="constrained"
    )
    for row in rows:
        x, y = links.index(_link(row)), devices.index(row["device"])
        colour = COLOURS.get(most_used(row), "white")
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white"))
        axes.text(x + 0.5, y + 0.5, "\n".join(cell(row)), ha="center", va="center", fontsize=8)
    axes.set(xlim=(0, len(links)), ylim=(len(devices), 0))
    axes.set_xticks([place + 0.5 for place in range(len(links))], links, fontsize=8)
    axes.set_yticks([place + 0.5 for place in range(len(devices))], devices)
    axes.xaxis.tick_top()
    axes.set_title("What auto does, and what it gains and costs beside the device alone")
    save_figure(figure, file, dpi=120)
    plt.close(figure)


def _link(row: Row) -> str:
    lost = f", {row['loss']:.0%} lost" if row["loss"] else ""
    return f"{row['kilobytes_per_s']:g} KB/s\n{row['round_trip_ms']:g} ms{lost}"
