"""Measure again what the README says: ``python -m benchmarks.readme --data PATH``.

Runs the benchmarks and the demo and writes their figures between the README's markers, so that no
figure there is older than the weights. A part can be named: ``accuracy``, ``size``, ``edge``,
``demo``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.machine import machine_line

README = Path("README.md")
DEMO_PICTURE = Path("docs/demo.png")
PICTURE_PX = 1000
PARTS = ("accuracy", "size", "edge", "demo")


def accuracy(data: str | None) -> str:
    """Accuracy and bytes by path, beside the paper's."""
    found = _json("benchmarks.accuracy", *(["--data", data] if data else []))
    paths = found["paths"]
    paper = {"cloud": "63.26 % (full model)", "local": "60.25 % (backbone only)", "image": ""}
    rows = [
        [
            f"`{name}`", f"{row['accuracy']:.2%}",
            "{:.1%} to {:.1%}".format(*row["interval_95"]),
            f"{row['bytes_mean']:,.0f}" if "bytes_mean" in row else "0", paper[name],
        ]
        for name, row in paths.items()
    ]  # fmt: skip
    head = ["path", "accuracy", "95 % interval", "bytes a face", "paper 001 on its test"]
    return _paragraphs(
        f"`python -m benchmarks.accuracy --data fer2013.zip --usage {found['usage']}`: "
        f"{found['n']:,} faces, single view, by the shipped ONNX files and the payload codec",
        _table(head, rows),
        f"`image` sends the crop as {paths['image']['picture_codec']}. "
        f"Weights `{found['fingerprint']}`.",
    )  # fmt: skip


def size(_: str | None) -> str:
    """Parameters and MACs beside the paper's Table 4."""
    found = _json("benchmarks.model_size")
    paper, share = found["paper_001_table_4"], found["share_of_full"]["asp+sfp"]
    rows = [
        [
            title, f"{found[key]['parameters'] / 1e6:.2f} M", f"{found[key]['macs'] / 1e9:.3f} G",
            f"{paper[key]['parameters'] / 1e6:.2f} M, {paper[key]['macs'] / 1e9:.2f} G",
        ]
        for key, title in (("backbone", "backbone only"), ("full", "full model"))
    ]  # fmt: skip
    return _paragraphs(
        "`python -m benchmarks.model_size`",
        _table(["", "parameters", "MACs", "paper 001, Table 4"], rows),
        f"ASP and SFP are {share['parameters']:.1%} of the full model's parameters and "
        f"{share['macs']:.1%} of its MACs.",
    )  # fmt: skip


def edge(_: str | None) -> str:
    """What each stage costs on the device."""
    found = _json("benchmarks.edge")
    names = {
        "detect": f"detect, 640x480 searched at {found['search_side_px']} px",
        "head": "head", "encode": "encode", "local_tail": "local tail",
        "full_model": "full model (head and cloud tail)",
    }  # fmt: skip
    rows = [
        [title, f"{found['stages'][key]['p50_ms']:.2f}", f"{found['stages'][key]['p95_ms']:.2f}"]
        for key, title in names.items()
    ]
    parts, shares = found["torch"], found["attention"]
    ratios = ", ".join(
        f"{name.replace('_', ' ')} {row['ratio']:.1f}" for name, row in parts.items()
    )
    return _paragraphs(
        f"`python -m benchmarks.edge`: one face, {found['threads']} thread, "
        f"{found['rounds']} rounds",
        _table(["stage", "p50 ms", "p95 ms"], rows),
        f"torch takes this many times as long: {ratios}. ASP and SFP take {shares['share']:.1%} of "
        f"the cloud tail's time (quartiles of the rounds: {shares['by_round_p25']:.1%} to "
        f"{shares['by_round_p75']:.1%}).",
        f"Measured on {machine_line(found['machine'])}.",
    )  # fmt: skip


def demo(_: str | None) -> str:
    """What the demo counted; its contact sheet becomes the README's picture."""
    with tempfile.TemporaryDirectory() as folder:
        _run("benchmarks.demo", "--out", folder)
        summary = json.loads((Path(folder) / "summary.json").read_text())
        _shrink(Path(folder) / "contact-sheet.png", DEMO_PICTURE)
    by_path = ", ".join(f"{n} `{path}`" for path, n in summary["by_path"].items() if n)
    by_reason = ", ".join(f"{n} `{reason}`" for reason, n in summary["by_reason"].items())
    ms = summary["latency_ms"]
    return _paragraphs(
        "`make demo`",
        f"{summary['frames']} frames ({summary['dropped_frames']} dropped), "
        f"{summary['faces']} faces, {summary['answered']} answered: {by_path} ({by_reason}). "
        f"p50 / p95 / p99 {ms['p50']:.0f} / {ms['p95']:.0f} / {ms['p99']:.0f} ms, "
        f"{summary['sent_bytes']['mean']:,.0f} bytes a face sent.",
    )  # fmt: skip


def _shrink(source: Path, target: Path) -> None:
    """A picture for a page: narrower, and with a palette, a tenth of the bytes."""
    with Image.open(source) as sheet:
        sheet.thumbnail((PICTURE_PX, 10 * PICTURE_PX))
        sheet.convert("RGB").quantize(256).save(target, optimize=True)


def _paragraphs(*paragraphs: str) -> str:
    return "\n\n".join(paragraphs)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replaced(text: str, part: str, figures: str) -> str:
    """``text`` with what stands between the part's markers replaced.

    Raises:
        ValueError: the markers are not there once.
    """
    begin, end = f"<!-- {part} -->", f"<!-- /{part} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    text, count = pattern.subn(lambda _: f"{begin}\n{figures}\n{end}", text)
    if count != 1:
        raise ValueError(f"{README} has the markers of {part!r} {count} times")
    return text


def _json(module: str, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(module, *arguments, "--json"))
    return found


def _run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; else all")
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    arguments = parser.parse_args()
    makers: dict[str, Callable[[str | None], str]] = {
        "accuracy": accuracy, "size": size, "edge": edge, "demo": demo,
    }  # fmt: skip
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for part in arguments.parts or PARTS:
        try:
            figures = makers[part](arguments.data)
        except subprocess.CalledProcessError as error:
            print(f"readme: {part}: exit code {error.returncode}", file=sys.stderr)
            return 1
        README.write_text(replaced(README.read_text(), part, figures))
        print(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
