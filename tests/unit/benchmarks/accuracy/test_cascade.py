from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import cascade
from benchmarks.accuracy.cascade import THRESHOLDS, curve, draw, table
from benchmarks.common.machine import describe_machine
from splitfer.edge_client.offload.cascade import unsure_faces
from splitfer.shared.contracts import Answer
from splitfer.shared.labels import LabelSet
from tests.unit.benchmarks.votes_file import write_votes
from tests.unit.training.faces import made_faces, members, write_zip


def faces(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, n).astype(np.float32)
    return confidence, rng.random(n) < confidence, rng.random(n) < 0.7, rng.integers(200, 400, n)


def test_the_curve_runs_from_local_to_cloud() -> None:
    confidence, local, cloud, sent = faces()
    rows = curve(confidence, local, cloud, sent)
    assert rows[0]["share_sent"] == 0
    assert rows[0]["accuracy"] == round(float(local.mean()), 6)
    assert rows[0]["bytes_mean"] == 0
    assert rows[-1]["share_sent"] == 1
    assert rows[-1]["accuracy"] == round(float(cloud.mean()), 6)
    assert rows[-1]["bytes_mean"] == round(float(sent.mean()), 1)
    shares = [row["share_sent"] for row in rows]
    assert shares == sorted(shares)


def test_a_row_is_what_the_product_sends_at_that_threshold() -> None:
    confidence, local, cloud, sent = faces(60)
    rest = (1 - confidence) / 6
    answers = [
        Answer((float(c), *[float(r)] * 6), "m", LabelSet.FER2013)
        for c, r in zip(confidence, rest, strict=True)
    ]
    for threshold, row in zip(THRESHOLDS, curve(confidence, local, cloud, sent), strict=True):
        asked = unsure_faces(answers, threshold)
        literal = [cloud[i] if i in asked else local[i] for i in range(60)]
        assert row["share_sent"] == round(len(asked) / 60, 4)
        assert row["accuracy"] == round(float(np.mean(literal)), 6)


def test_sending_the_least_sure_beats_chance_where_confidence_means_something() -> None:
    rows = curve(*faces(20_000))
    middle = [row for row in rows if 0.2 < row["share_sent"] < 0.8]
    assert middle
    assert all(row["accuracy"] > row["accuracy_at_random"] for row in middle)


def test_table_and_picture(tmp_path: Path) -> None:
    result = {
        "usage": "PublicTest", "labels": "crowd", "n": 400,
        "fingerprint": "f", "tail": "t", "rate": "default",
        "rows": curve(*faces()), "local": 0.5, "cloud": 0.6, "default_threshold": 0.8,
        "at_default": {"difference": 0.01, "interval_95": [0.0, 0.02]},
        "machine": describe_machine(),
    }  # fmt: skip
    draw(result, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5_000
    assert "+1.00 points (+0.00 to +2.00)" in table(result)
    assert "400 faces, labels crowd" in table(result)


def test_by_what_people_say(
    crowd_weights_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = made_faces(20, seed=5)
    write_zip(tmp_path / "data.zip", members({"PublicTest": made}))
    votes = write_votes(tmp_path / "votes.csv", {"PublicTest": made})
    monkeypatch.setattr(sys, "argv", [
        "cascade", "--data", str(tmp_path / "data.zip"), "--votes", str(votes),
        "--weights", str(crowd_weights_folder), "--threads", "1", "--json",
    ])  # fmt: skip
    assert cascade.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["labels"], result["n"]) == ("crowd", 16)
    assert result["rows"][0]["accuracy"] == result["local"]
    assert result["rows"][-1]["accuracy"] == result["together"]
