"""Figures are written between their markers and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import readme, readme_accuracy

TEXT = "before\n<!-- edge -->\nold\n<!-- /edge -->\nbetween\n<!-- size -->\n<!-- /size -->\nafter\n"


def test_only_the_parts_own_figures_change() -> None:
    once = readme.replaced(TEXT, "edge", r"new \1 figures")
    assert once == TEXT.replace("old", r"new \1 figures")
    assert readme.replaced(once, "edge", "old") == TEXT


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(ValueError, match="demo"):
        readme.replaced(TEXT, "demo", "")


@pytest.mark.parametrize("part", readme.PARTS)
def test_the_readme_has_a_place_for_each(part: str) -> None:
    text = readme.README.read_text()
    assert readme.replaced(text, part, "figures") != text


CHANGE = {"difference": -0.01, "interval_95": [-0.02, 0.001]}
PRINTED: dict[str, dict[str, Any]] = {
    "--rate all": {
        "usage": "PublicTest", "n": 3589, "copies_in_training": 419, "fingerprint": "76c2",
        "paths": {
            "cloud": {"accuracy": 0.7, "interval_95": [0.68, 0.72], "bytes_mean": 301.2,
                      "accuracy_without_copies": 0.69},
            "local": {"accuracy": 0.69, "interval_95": [0.67, 0.71]},
            "image": {"accuracy": 0.68, "interval_95": [0.66, 0.7], "bytes_mean": 802.0,
                      "picture_codec": "jpeg:75, 48x48 grey"},
        },
    },
    "--through-detector": {
        "found": 2700, "found_share": 0.75, "frame": "640x480",
        "through_detector": {"cloud": {
            "direct": 0.71, "detected": 0.7, "jittered": 0.7,
            "detected - direct": CHANGE, "jittered - direct": CHANGE,
        }},
    },
    "--calibration": {
        "calibration": {"cloud": {
            "ece": 0.021, "ece_adaptive": 0.022,
            "coverage": [{"coverage": 1.0, "accuracy": 0.7}, {"coverage": 0.9, "accuracy": 0.75}],
        }},
    },
    "--plot": {
        "points": [{"kind": "rate", "name": "low", "bytes_mean": 160.3, "accuracy": 0.69},
                   {"kind": "raw", "name": "float32", "bytes_mean": 25093.0, "accuracy": 0.702},
                   {"kind": "jpeg", "name": "q", "bytes_mean": 900.0, "accuracy": 0.6}],
        "against": {
            "jpeg": {"accuracies": [0.6, 0.69], "ratio_worst": 0.41, "ratio_mean": 0.35,
                     "ratio_worst_interval_95": [0.35, 0.48], "best_accuracy": 0.69},
            "webp": {"accuracies": None, "best_accuracy": 0.61},
        },
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("accuracy", ["| `cloud` | 70.00% |", "| 301 |", "419 of the faces", "`cloud` 69.00%"]),
        ("rate", ["| latent, low | 160 |", "raw, float32 | 25,093", "at most 0.41", "no accuracy"]),
        ("detector", ["2,700 faces", "70.00%: -1.00 points (-2.00 to +0.10)"]),
        ("calibration", ["| `cloud` | 0.021 | 0.022 | 70.0% |"]),
    ],
)
def test_what_a_benchmark_printed_becomes_a_table(
    part: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def printed(_: str, *arguments: str) -> dict[str, Any]:
        line = " ".join(arguments)
        keys = ("--calibration", "--through-detector", "--rate all", "--plot")
        return PRINTED[next(key for key in keys if key in line)]

    monkeypatch.setattr(readme_accuracy, "run_json", printed)
    text = readme.PARTS[part]("fer2013.zip")
    for some in words:
        assert some in text
