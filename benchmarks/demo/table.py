"""The figures of a demo run as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def table(summary: Mapping[str, Any]) -> str:
    """``summary`` as the edge client writes it -> lines of ``name  value``."""
    latency = summary["latency_ms"]
    sent = summary["sent_bytes"]
    rows: list[tuple[str, str]] = [
        ("frames", f"{summary['frames']}"),
        ("  without a face", f"{summary['frames_without_face']}"),
        ("  dropped", f"{summary['dropped_frames']}"),
        ("faces", f"{summary['faces']}"),
        ("answers", f"{summary['answered']}"),
        *_counts("  by path", summary["by_path"]),
        *_counts("  by reason", summary["by_reason"]),
        ("latency p50 / p95 / p99", " / ".join(_ms(latency[q]) for q in ("p50", "p95", "p99"))),
        ("bytes per face sent", f"mean {sent['mean']:,.0f}, max {sent['max']:,}"),
        ("bytes on the wire", f"{summary['wire_bytes']:,}"),
        ("seconds", f"{summary['seconds']:.1f}"),
    ]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in rows)


def _counts(title: str, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """One row a name, the title on the first; names that did not occur are left out."""
    named = [f"{count:>5}  {name}" for name, count in counts.items() if count] or ["none"]
    return [(title if not row else "", text) for row, text in enumerate(named)]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
