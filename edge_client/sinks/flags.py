"""The flags that name outputs. Loads nothing of what writes them."""

from __future__ import annotations

import argparse

from splitfer.shared.arguments import Once, file_name


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every command that answers."""
    parser.add_argument(
        "--output",
        action=Once,
        metavar="-|FILE.jsonl",
        help="one line per face, added to what the file holds (-)",
    )
    parser.add_argument(
        "--output-max-mb",
        type=float,
        metavar="MB",
        help="rename a file of lines to FILE.1, in place of the last one, before it grows beyond "
        "this (never)",
    )


def add_of_run(parser: argparse.ArgumentParser) -> None:
    """Add those of ``run``."""
    parser.add_argument(
        "--explain",
        action=Once,
        metavar="-|FILE.jsonl",
        help="one line per frame, its path and why, added to what the file holds",
    )
    parser.add_argument(
        "--csv",
        action=Once,
        type=file_name,
        metavar="FILE.csv",
        help="one row per face, added to what the file holds",
    )
    parser.add_argument(
        "--annotate",
        action=Once,
        type=file_name,
        metavar="OUT.mp4",
        help="write the frames with boxes: .mp4, .mov or .mkv",
    )
    parser.add_argument(
        "--contact-sheet",
        action=Once,
        type=file_name,
        metavar="OUT.png",
        help="a picture of the run: .png, .jpg, .jpeg or .webp",
    )
    parser.add_argument(
        "--summary",
        action=Once,
        type=file_name,
        metavar="FILE.json",
        help="write the run's figures",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a video, sheet or summary that exists, which is refused else; "
        "lines are added either way",
    )
