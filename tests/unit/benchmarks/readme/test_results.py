"""What a benchmark printed is kept, and pages can be made of that alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.readme import results


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")


def test_a_result_is_kept_and_read_again_without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []

    def run(module: str, *arguments: str) -> str:
        ran.append((module, *arguments))
        return json.dumps({"n": len(ran)})

    monkeypatch.setattr(results, "run", run)
    asked = ("benchmarks.accuracy.accuracy", "--data", "/home/me/faces.zip", "--rate", "all")
    assert results.run_json(*asked) == {"n": 1}
    assert ran == [(*asked, "--json")]
    with results.kept_alone():
        assert results.run_json(*asked) == {"n": 1}
    assert len(ran) == 1

    text = (results.RESULTS / "accuracy-rate-all.json").read_text()
    assert "/home/me" not in text
    row = json.loads(text)
    assert row["command"] == "python -m benchmarks accuracy --data fer2013.zip --rate all"
    assert set(row) == {"command", "commit", "date", "took_s", "result"}


def test_how_long_a_benchmark_takes_is_known_from_its_longest_kept_result() -> None:
    for options, took_s in (("", 40.2), (" --rate all", 610.0)):
        name = f"accuracy{options.replace(' ', '')}"
        results.keep(name, f"python -m benchmarks accuracy{options}", {}, took_s)
    results.keep("demo", "make demo", {}, 35.0)
    assert results.longest_s("accuracy") == 610
    assert results.longest_s("rate_accuracy") is None


def test_what_was_never_measured_names_the_command() -> None:
    with results.kept_alone(), pytest.raises(ValueError, match=r"no .*link-quick\.json: run `py"):
        results.run_json("benchmarks.link.link", "--quick")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--data", "fer2013.zip"], "accuracy"),
        (
            ["--data", "fer2013.zip", "--path", "cloud", "--tail", "paper"],
            "accuracy-path-cloud-tail-paper",
        ),
    ],
)
def test_names_of_files(options: list[str], name: str) -> None:
    assert results.name_of("accuracy", options) == name
