"""Measure again what the README and the pages of figures say:
``python -m benchmarks readme --data PATH --votes FILE``.

Runs the benchmarks and the demo and writes their figures between the markers of the page that has
them, so that no figure there is older than the weights. What was printed is kept in
``benchmarks/results``; with ``--kept`` pages and pictures are made of that, and nothing is
measured. Parts can be named.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from PIL import Image

from benchmarks.attack.bounds import table as attack_table
from benchmarks.common.another import run
from benchmarks.common.command import end_in_order
from benchmarks.common.machine import machine_line
from benchmarks.common.markdown import paragraphs, table
from benchmarks.readme import accuracy as readme_accuracy
from benchmarks.readme import browser as readme_browser
from benchmarks.readme import link as readme_link
from benchmarks.readme import models as readme_models
from benchmarks.readme import serving as readme_serving
from benchmarks.readme.results import NotKept, keep, kept, kept_alone, measuring, run_json
from splitfer.shared.whole_file import write_whole
from training.data.votes import VOTES_VARIABLE

PAGES = (
    Path("README.md"),
    Path("docs/figures/figures.md"),
    Path("docs/figures/models.md"),
    Path("docs/security/attacks.md"),
    Path("docs/device/browser.md"),
)
DEMO_PICTURE = Path("docs/figures/demo.png")
PICTURE_PX = 1000


def size(_: str | None) -> str:
    """Parameters and MACs beside the paper's Table 4."""
    found = run_json("benchmarks.device.model_size", "--cloud", "shufflenet")
    paper, share = found["paper_001_table_4"], found["share_of_full"]["asp+sfp"]

    def row(title: str, name: str) -> list[str]:
        ours, theirs = found[name], paper[name]
        return [
            title,
            f"{ours['parameters'] / 1e6:.2f} M",
            f"{ours['macs'] / 1e9:.3f} G",
            f"{theirs['parameters'] / 1e6:.2f} M, {theirs['macs'] / 1e9:.2f} G",
        ]

    return paragraphs(
        "`python -m benchmarks model_size --cloud shufflenet`",
        table(
            ["", "parameters", "MACs", "paper 001, Table 4"],
            [row("backbone only", "backbone"), row("full model", "full")],
        ),
        f"With the paper's stem. ASP and SFP are {share['parameters']:.2%} of the full model's "
        f"parameters and {share['macs']:.2%} of its MACs.",
    )


def edge(_: str | None) -> str:
    """What each stage costs on the device."""
    found = run_json("benchmarks.device.edge")
    names = {
        "detect": f"detect, 640x480 searched at {found['search_side_px']} px",
        "head": "head",
        "encode": "encode",
        "local_tail": "local tail",
        "full_model": "full model (head and cloud tail)",
    }
    rows = [
        [title, f"{found['stages'][key]['p50_ms']:.2f}", f"{found['stages'][key]['p95_ms']:.2f}"]
        for key, title in names.items()
    ]
    parts, shares = found["torch"], found["attention"]
    ratios = ", ".join(
        f"{name.replace('_', ' ')} {row['ratio']:.1f}" for name, row in parts.items()
    )
    return paragraphs(
        f"`python -m benchmarks edge`: one face, {found['threads']} thread, "
        f"{found['rounds']} rounds",
        table(["stage", "p50 ms", "p95 ms"], rows),
        f"torch takes this many times as long: {ratios}. ASP and SFP take {shares['share']:.1%} of "
        f"the cloud tail's time (quartiles of the rounds: {shares['by_round_p25']:.1%} to "
        f"{shares['by_round_p75']:.1%}).",
        f"Measured on {machine_line(found['machine'])}.",
    )


def demo(_: str | None) -> str:
    """What the demo counted; its contact sheet becomes the README's picture."""
    if measuring():
        with tempfile.TemporaryDirectory() as folder:
            start_s = time.monotonic()
            run("benchmarks.demo.demo", "--out", folder)
            took_s = time.monotonic() - start_s
            summary = json.loads((Path(folder) / "summary.json").read_text())
            keep("demo", "make demo", summary, took_s)
            _shrink(Path(folder) / "contact-sheet.png", DEMO_PICTURE)
    summary = kept("demo", "make demo")
    by_path = ", ".join(f"{n} `{path}`" for path, n in summary["by_path"].items() if n)
    by_reason = ", ".join(f"{n} `{reason}`" for reason, n in summary["by_reason"].items())
    ms = summary["latency_ms"]
    return paragraphs(
        "`make demo`",
        f"{summary['frames']} frames ({summary['dropped_frames']} dropped), "
        f"{summary['faces']} faces, {summary['answered']} answered: {by_path} ({by_reason}). "
        f"p50 / p95 / p99 {ms['p50']:.0f} / {ms['p95']:.0f} / {ms['p99']:.0f} ms, "
        f"{summary['sent_bytes']['mean']:,.0f} bytes a face sent.",
    )


def attack(_: str | None) -> str:
    """What each known attack costs the server and who asks beside it."""
    found = run_json("benchmarks.attack.attack")
    return paragraphs("`make attack`", attack_table(found))


def _shrink(source: Path, target: Path) -> None:
    """A picture for a page: narrower, and with a palette, a tenth of the bytes."""
    with Image.open(source) as sheet:
        sheet.thumbnail((PICTURE_PX, 10 * PICTURE_PX))
        sheet.convert("RGB").quantize(256).save(target, optimize=True)


def replaced(text: str, part: str, figures: str) -> str:
    """``text`` with what stands between the part's markers replaced.

    Raises:
        ValueError: the markers are not there once.
    """
    begin, end = f"<!-- {part} -->", f"<!-- /{part} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    text, count = pattern.subn(lambda _: f"{begin}\n{figures}\n{end}", text)
    if count != 1:
        raise ValueError(f"the page has the markers of {part!r} {count} times")
    return text


def page_of(part: str) -> Path:
    """The page with the markers of a part.

    Raises:
        ValueError: not one page has them.
    """
    pages = [page for page in PAGES if f"<!-- {part} -->" in page.read_text()]
    if len(pages) != 1:
        raise ValueError(f"{len(pages)} of {', '.join(map(str, PAGES))} have the part {part!r}")
    return pages[0]


def linked_from(page: Path, figures: str) -> str:
    """``figures``, whose links start at the root, with links that start at ``page``."""

    def relative(link: re.Match[str]) -> str:
        return f"]({os.path.relpath(link[1], page.parent)})"

    return re.sub(r"\]\((docs/[^)]+)\)", relative, figures)


PARTS: dict[str, Callable[[str | None], str]] = {
    "accuracy": readme_accuracy.accuracy, "rate": readme_accuracy.rate,
    "detector": readme_accuracy.detector, "calibration": readme_accuracy.calibration,
    "cascade": readme_link.cascade, "link": readme_link.link,
    "serving": readme_serving.serving, "size": size, "edge": edge, "demo": demo,
    "attack": attack, "browser": readme_browser.browser,
    "table-001.4": readme_models.table_001_4, "table-000.6": readme_models.table_000_6,
    "table-004.4": readme_models.table_004_4, "ten-windows": readme_models.ten_windows,
}  # fmt: skip


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; else all")
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv: what people said")
    parser.add_argument(
        "--kept", action="store_true", help="of benchmarks/results; nothing is measured"
    )
    arguments = parser.parse_args()
    end_in_order()
    if arguments.votes:
        os.environ[VOTES_VARIABLE] = arguments.votes  # for the benchmarks that are run
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for part in arguments.parts or PARTS:
        try:
            with kept_alone() if arguments.kept else nullcontext():
                figures = PARTS[part](arguments.data)
        except subprocess.CalledProcessError as error:
            print(f"readme: {part}: exit code {error.returncode}", file=sys.stderr)
            return 1
        except NotKept as error:
            print(f"readme: {part}: {error}", file=sys.stderr)
            if part in arguments.parts:
                return 1
            continue  # of all parts the others are written, and the page keeps what it says
        page = page_of(part)
        text = replaced(page.read_text(), part, linked_from(page, figures))
        write_whole(page, text.encode())
        print(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
