"""What a benchmark printed is kept, and pages can be made of that alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.readme import readme, results


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


def test_a_part_of_which_nothing_is_kept_leaves_its_page_and_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- rate -->\nold\n<!-- /rate -->\n<!-- demo -->\nold\n<!-- /demo -->\n")
    parts = {
        "rate": lambda _: str(results.run_json("benchmarks.accuracy.rate_accuracy")),
        "demo": lambda _: "new",
    }
    monkeypatch.setattr(readme, "PARTS", parts)
    monkeypatch.setattr(readme, "PAGES", (page,))
    monkeypatch.setattr(sys, "argv", ["readme", "--kept"])
    assert readme.main() == 0
    assert page.read_text().splitlines() == [
        "<!-- rate -->", "old", "<!-- /rate -->", "<!-- demo -->", "new", "<!-- /demo -->",
    ]  # fmt: skip
    assert "rate_accuracy.json: run" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["readme", "--kept", "rate"])
    assert readme.main() == 1  # it was asked for


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
