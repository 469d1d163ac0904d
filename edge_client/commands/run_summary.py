"""What a run says of itself at its end: see docs/device/records.md."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splitfer.edge_client.appliance.books import Books
    from splitfer.edge_client.config import EdgeConfig
    from splitfer.edge_client.recognizer import Recognizer
    from splitfer.edge_client.sources.base import Source


def summary_of(
    books: Books,
    config: EdgeConfig,
    source: Source,
    recognizer: Recognizer,
    failures: Counter[str],
    left_out: int,
) -> dict[str, Any]:
    """The summary of one source."""
    summary = books.summary()
    summary["link"] = recognizer.link_report()
    summary["policy"] = {"name": config.effective_policy.value, **recognizer.policy_report()}
    summary["output_failures"] = dict(failures)
    summary["source"] = {"name": source.name, "left_out": left_out, "reopened": source.reopened}
    return summary


def write_summary(arguments: argparse.Namespace, summary: dict[str, Any]) -> None:
    """Write it to the file that was named.

    Raises:
        OSError: it cannot be written.
    """
    from splitfer.shared.whole_file import write_whole

    data = json.dumps(summary, indent=2).encode() + b"\n"
    write_whole(arguments.summary, data, arguments.overwrite)


def one_line(summary: dict[str, Any]) -> str:
    """The summary in one line, for people."""
    paths = ", ".join(f"{path} {n}" for path, n in summary["by_path"].items() if n)
    return (
        f"{summary['frames']} frames ({summary['dropped_frames']} dropped), {summary['faces']} "
        f"faces, {summary['answered']} answered ({paths or 'none'}), {summary['failed']} failed, "
        f"{summary['seconds']:.1f} s"
        + (f", {left_out} pictures left out" if (left_out := summary["source"]["left_out"]) else "")
    )
