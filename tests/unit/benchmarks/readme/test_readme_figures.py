"""Figures are written between their markers and nowhere else."""

from __future__ import annotations

import copy
from pathlib import Path as PagePath
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.common.machine import describe_machine
from benchmarks.readme import accuracy as readme_accuracy
from benchmarks.readme import link as readme_link
from benchmarks.readme import readme
from splitfer.shared.contracts import AnswerPath

TEXT = "before\n<!-- edge -->\nold\n<!-- /edge -->\nbetween\n<!-- size -->\n<!-- /size -->\nafter\n"


def test_only_the_parts_own_figures_change() -> None:
    once = readme.replaced(TEXT, "edge", r"new \1 figures")
    assert once == TEXT.replace("old", r"new \1 figures")
    assert readme.replaced(once, "edge", "old") == TEXT


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(ValueError, match="demo"):
        readme.replaced(TEXT, "demo", "")


@pytest.mark.parametrize("part", readme.PARTS)
def test_one_page_has_a_place_for_each(part: str) -> None:
    text = readme.page_of(part).read_text()
    assert readme.replaced(text, part, "figures") != text


def test_links_are_written_as_the_page_needs_them() -> None:
    figures = "![plot](docs/figures/plot.png)"
    assert readme.linked_from(PagePath("README.md"), figures) == figures
    assert readme.linked_from(PagePath("docs/figures/figures.md"), figures) == "![plot](plot.png)"


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are tested where they are drawn."""
    for module, names in (
        (readme_accuracy, ("draw_by_entropy", "draw_rates")),
        (readme_accuracy.calibration_figures, ("draw",)),
        (readme_link, ("plot", "draw_cascade")),
        (readme_link.worth, ("draw",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, lambda *_: None)


CHANGE = {"difference": -0.01, "interval_95": [-0.02, 0.001]}


def measured(label: float, people: float) -> dict[str, Any]:
    """Accuracy by FER2013's label and by people's."""
    return {
        "fer2013": {"accuracy": label, "n": 3589, "interval_95": [label - 0.02, label + 0.02]},
        "crowd": {
            "protocol": {"accuracy": people, "n": 3191}, "plurality": {"accuracy": 0.7, "n": 3578},
            "macro_f1": 0.611, "macro_recall": 0.602, "cross_entropy": 0.755,
            "cross_entropy_floor": 0.453, "voter_is_protocol": 0.811,
            "balanced": {"protocol": {"accuracy": people - 0.05}, "macro_recall": 0.702},
        },
    }  # fmt: skip


PRINTED: dict[str, dict[str, Any]] = {
    "--rate all": {
        "usage": "PublicTest",
        "n": 3589,
        "tail": "cloud",
        "copies_in_training": 419,
        "fingerprint": "76c2",
        "paths": {
            "cloud": {**measured(0.7, 0.82), "bytes_mean": 301.2},
            "local": measured(0.69, 0.81),
            "image": {
                **measured(0.68, 0.8),
                "bytes_mean": 802.0,
                "picture_codec": "jpeg:75, 48x48 grey",
            },
            "cloud+local": {**measured(0.71, 0.83), "bytes_mean": 301.2},
        },
        "differences": {"cloud - local, crowd": CHANGE},
    },
    "--tail": {"paths": {"cloud": {**measured(0.72, 0.84), "bytes_mean": 301.2}}},
    "--through-detector": {
        "labels": "crowd",
        "found": 2700,
        "found_share": 0.75,
        "frame": "640x480",
        "through_detector": {
            "cloud": {
                "direct": 0.71,
                "detected": 0.7,
                "jittered": 0.7,
                "detected - direct": CHANGE,
                "jittered - direct": CHANGE,
            }
        },
    },
    "--calibration": {
        "labels": "crowd",
        "calibration": {
            "cloud": {
                "ece": 0.021,
                "ece_adaptive": 0.022,
                "coverage": [
                    {"coverage": 1.0, "accuracy": 0.7},
                    {"coverage": 0.9, "accuracy": 0.75},
                ],
            }
        },
    },
    "benchmarks.accuracy.rate_accuracy": {
        "labels": "crowd",
        "usage": "PublicTest",
        "n": 3589,
        "tail": "cloud",
        "points": [
            {"kind": "rate", "name": "low", "bytes_mean": 160.3, "accuracy": 0.69},
            {"kind": "raw", "name": "float32", "bytes_mean": 25093.0, "accuracy": 0.702},
            {"kind": "jpeg", "name": "q", "bytes_mean": 900.0, "accuracy": 0.6},
        ],
        "against": {
            "jpeg": {
                "accuracies": [0.6, 0.69],
                "ratio_worst": 0.41,
                "ratio_mean": 0.35,
                "ratio_worst_interval_95": [0.35, 0.48],
                "best_accuracy": 0.69,
            },
            "webp": {"accuracies": None, "best_accuracy": 0.61},
        },
    },
}


TAILS = {
    name: SimpleNamespace(path=path)
    for name, path in (
        ("local", AnswerPath.LOCAL),
        ("cloud", AnswerPath.CLOUD),
        ("big", AnswerPath.CLOUD),
    )
}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            "accuracy",
            [
                "| `cloud` | 82.00% | 0.611 | 0.755 | 70.00% | 301 |",
                "| `cloud --tail big` | 84.00% | 0.611 | 0.755 | 72.00% | 301 |",
                "| `local` | 81.00% | 0.611 | 0.755 | 69.00% | 0 |",
                "3,191 faces of FER+'s protocol",
                "one of ten voters says the majority's label in 81.1%",
                "at least 0.453",
                "*FER2013's label*: 3,589 faces",
                "people's label: -1.00 points (-2.00 to +0.10)",
                "`cloud+local` has 78.00%, macro recall 0.702 in place of 0.602.",
                "![Accuracy by how far people agree](docs/figures/agreement.png)",
            ],
        ),
        (
            "rate",
            [
                "labels crowd",
                "| latent, low | 160 |",
                "raw, float32 | 25,093",
                "at most 0.41",
                "no accuracy",
            ],
        ),
        ("detector", ["labels crowd", "2,700 faces", "70.00%: -1.00 points (-2.00 to +0.10)"]),
        (
            "calibration",
            ["labels crowd", "of the votes", "| `cloud` | 0.021 | 0.022 | 70.0% |"],
        ),
    ],
)
def test_what_a_benchmark_printed_becomes_a_table(
    part: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def printed(*arguments: str) -> dict[str, Any]:
        line = " ".join(arguments)
        keys = (
            "--tail",
            "--calibration",
            "--through-detector",
            "--rate all",
            "benchmarks.accuracy.rate_accuracy",
        )
        return PRINTED[next(key for key in keys if key in line)]

    monkeypatch.setattr(readme_accuracy, "run_json", printed)
    weights = SimpleNamespace(manifest=SimpleNamespace(tails=TAILS, default_tail="cloud"))
    monkeypatch.setattr(readme_accuracy, "Weights", lambda _: weights)
    text = readme.PARTS[part]("fer2013.zip")
    for some in words:
        assert some in text


def link_row(strategy: str, p50_ms: float) -> dict[str, Any]:
    return {
        "device": "Pi 4", "kilobytes_per_s": 100.0, "round_trip_ms": 50.0, "loss": 0.0,
        "strategy": strategy, "p50_ms": p50_ms, "p99_ms": 2 * p50_ms, "deadline_ms": 150.0,
    }  # fmt: skip


def test_the_link_and_the_cascade_become_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {
        "local": 30.0, "full": 33.0, "cloud:default": 83.0, "cloud:low": 81.0, "image": 550.0,
        "two-way": 215.0, "auto:latency": 31.0, "auto": 32.0, "cascade": 40.0,
    }  # fmt: skip
    found = {
        "rows": [link_row(name, ms) for name, ms in times.items()],
        "verdict": {
            "points": 1,
            "auto_latency_over_5_percent": [["Pi 4"]],
            "auto_latency_over_its_own_ways": [],
            "auto_late_or_worse": [],
            "one_way_not_faster_than_two_way": [],
        },
        "machine": describe_machine(),
    }
    monkeypatch.setattr(readme_link, "run_json", lambda *_: found)
    text = readme.PARTS["link"](None)
    assert "| Pi 4, 100 KB/s, 50 ms | 30 | 81 | 550 | 215 | 31 | 32, 64 | 150 |" in text
    assert "Of 1 points, `auto` for latency is more than 5 % over" in text

    rows = [
        {
            "threshold": n / 20,
            "share_sent": n / 20,
            "accuracy": 0.6 + n / 200,
            "accuracy_at_random": 0.6,
            "bytes_mean": 10.0 * n,
        }
        for n in range(21)
    ]
    monkeypatch.setattr(readme_link, "run_json", lambda *_: {"labels": "crowd", "rows": rows})
    text = readme.PARTS["cascade"](None)
    assert "| 0.8 | 80% | 68.00% | 60.00% | 160 |" in text
    assert "labels crowd" in text


def test_weights_that_do_not_know_how_common_labels_were(monkeypatch: pytest.MonkeyPatch) -> None:
    found = copy.deepcopy(PRINTED["--rate all"])
    del found["paths"]["cloud+local"]["crowd"]["balanced"]
    monkeypatch.setattr(readme_accuracy, "run_json", lambda *_: found)
    manifest = SimpleNamespace(tails={"cloud": TAILS["cloud"]}, default_tail="cloud")
    monkeypatch.setattr(readme_accuracy, "Weights", lambda _: SimpleNamespace(manifest=manifest))
    assert "even prior" not in readme.PARTS["accuracy"](None)
