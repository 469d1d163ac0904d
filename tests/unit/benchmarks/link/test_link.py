"""What the link's figure is made of: the grid, the rows, the verdict, the paper's way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.link import worth
from benchmarks.link.link import DEVICES, QUICK, Plan, joined
from benchmarks.link.summary import by_point, point_rows, table, verdict
from benchmarks.link.two_way import Parts, decode_map, encode_map, tail_of
from splitfer.shared.errors import SourceError
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import Manifest, Measured

PLACE = {
    "device": "Pi 4",
    "kilobytes_per_s": 100.0,
    "round_trip_ms": 50.0,
    "loss": 0.0,
    "deadline_ms": 150.0,
}


def said(accuracy: float, log_loss: float | None = None) -> dict[LabelSet, Measured]:
    losses = {} if log_loss is None else {"PublicTest": log_loss}
    found = Measured(temperature=1.0, accuracy={"PublicTest": accuracy}, log_loss=losses)
    return dict.fromkeys(LabelSet, found)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights(default_folder())


@pytest.fixture(scope="module")
def manifest(weights: Weights) -> Manifest:
    """The shipped weights, where the cloud is the more accurate."""
    shipped = weights.manifest
    tails = {
        name: tail.model_copy(update={"answers": said(0.6 if name == "local" else 0.7)})
        for name, tail in shipped.tails.items()
    }
    rates = tuple(
        rate.model_copy(update={"answers": {shipped.default_tail: said(0.7)}})
        for rate in shipped.rates
    )
    return shipped.model_copy(update={"tails": tails, "rates": rates})


def outcome(ms: float, path: str = "local", rate: str | None = None) -> dict[str, Any]:
    return {
        "ms": ms,
        "processor_ms": 2.0 if path == "local" else 1.5,
        "path": path,
        "rate": rate,
        "sent_bytes": 0 if path == "local" else 900,
        "together": path == "cloud" and ms > 190,
    }


def rows(manifest: Manifest, **p50_ms: float) -> list[dict[str, Any]]:
    """A point at which each strategy always takes the same; the default is a fast device."""
    rate = manifest.default_rate
    times = {"local": 20.0, "cloud": 60.0, "two-way": 80.0, "auto:latency": 20.0, "auto": 60.0}
    times |= {name.replace("_", "-"): ms for name, ms in p50_ms.items()}
    outcomes = {
        "local": [outcome(times["local"])],
        f"cloud:{rate}": [outcome(times["cloud"], "cloud", rate)],
        "two-way": [outcome(times["two-way"], "two-way")],
        "auto:latency": [outcome(times["auto:latency"])],
        "auto": [outcome(times["auto"], "cloud", rate)],
    }
    if "full" in times:
        outcomes["full"] = [outcome(times["full"], "full")]
    return point_rows(PLACE, outcomes, manifest)


def test_the_grid_covers_every_device_rate_round_trip_and_loss() -> None:
    points = list(Plan().points(DEVICES))
    assert len({(p.device.name, p.kilobytes_per_s, p.round_trip_ms, p.loss) for p in points}) == 72
    assert min(p.shape.bytes_per_s for p in points) == 12_500
    assert max(p.shape.delay_ms for p in points) == 100
    assert len(list(QUICK.points(DEVICES))) == 9


def test_a_row_says_how_long_how_right_and_how_late(manifest: Manifest) -> None:
    rate = manifest.default_rate
    outcomes = [outcome(float(ms), "cloud", rate) for ms in range(101)] + [outcome(200.0)]
    (row,) = point_rows(PLACE, {"auto": outcomes}, manifest)
    assert row["p50_ms"] == 50.5
    assert row["late"] == round(1 / 102, 4)
    assert row["paths"] == {f"cloud:{rate}": 101, "local": 1}
    assert row["accuracy"] == pytest.approx((101 * 0.7 + 0.6) / 102, abs=1e-5)


def test_what_a_server_is_worth_is_told_beside_the_device_alone(
    manifest: Manifest, tmp_path: Path
) -> None:
    rate = manifest.default_rate
    auto = [outcome(60.0, "cloud", rate)] * 2 + [outcome(200.0, "cloud", rate), outcome(20.0)]
    found = {
        "rows": point_rows(PLACE, {"auto": auto, "local": [outcome(20.0)]}, manifest),
        "devices": {"Pi 4": {"factor": 4.0}},
    }
    (row,) = worth.worth(found)
    assert row["paths"] == {"cloud": 0.5, "cloud+local": 0.25, "local": 0.25}
    assert worth.most_used(row) == "cloud"
    assert row["ms"] == 40.0
    assert row["bytes"] == 675.0
    assert row["device_ms"] == pytest.approx(4 * (0.75 * 1.5 + 0.25 * 2 - 2))
    assert row["points"] > 0
    worth.draw(found, tmp_path / "worth.png")
    assert (tmp_path / "worth.png").read_bytes().startswith(b"\x89PNG")


def test_the_verdict_holds_each_target_against_each_point(manifest: Manifest) -> None:
    def missed(**p50_ms: float) -> list[str]:
        said = verdict(rows(manifest, **p50_ms))
        assert said.pop("points") == 1
        return [key for key, points in said.items() if points]

    assert missed() == []
    point = by_point(rows(manifest))[("Pi 4", 100.0, 50.0, 0.0)]
    assert point["auto:latency"]["p50_ms"] == 20.0
    assert missed(**{"two-way": 59.0}) == ["one_way_not_faster_than_two_way"]
    assert missed(**{"auto:latency": 21.1}) == [
        "auto_latency_over_5_percent",
        "auto_latency_over_its_own_ways",
    ]
    assert missed(full=18.0) == ["auto_latency_over_5_percent"]
    assert missed(auto=151.0) == ["auto_late_or_worse"]


def test_auto_is_held_against_local_by_log_loss_where_it_is_known(manifest: Manifest) -> None:
    tail = manifest.default_tail

    def worse(cloud: float) -> bool:
        losses = {"local": 0.9, tail: cloud}
        tails = {
            name: entry.model_copy(
                update={"answers": said(0.6 if name == "local" else 0.7, losses.get(name, 1.0))}
            )
            for name, entry in manifest.tails.items()
        }
        by_rate = tuple(
            rate.model_copy(update={"answers": {tail: said(0.7, cloud)}}) for rate in manifest.rates
        )
        known = manifest.model_copy(update={"tails": tails, "rates": by_rate})
        return bool(verdict(rows(known))["auto_late_or_worse"])

    assert worse(0.91)
    assert not worse(0.89)


def test_results_of_a_device_each_are_joined(manifest: Manifest, tmp_path: Path) -> None:
    files = []
    for name, slow_ms in (("Pi 4", 20.0), ("Pi 5", 30.0)):
        part = [row | {"device": name} for row in rows(manifest, **{"auto:latency": slow_ms})]
        result = {
            "fingerprint": "f",
            "plan": {"rounds": 3},
            "link": "packets",
            "processor": "cpu.max",
            "devices": {name: {"factor": 1.0, "backbone_ms": 5.0}},
            "rows": part,
            "verdict": verdict(part),
        }
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(result))
    whole = joined(files)
    assert list(whole["devices"]) == ["Pi 4", "Pi 5"]
    assert whole["verdict"]["points"] == 2
    (over,) = whole["verdict"]["auto_latency_over_5_percent"]
    assert over[0] == "Pi 5"
    assert len(whole["rows"]) == 2 * len(rows(manifest))

    files[1].write_text(json.dumps({**whole, "fingerprint": "g"}))
    with pytest.raises(SourceError, match="of different weights"):
        joined(files)
    files[1].write_text("[]")
    with pytest.raises(SourceError, match="not results"):
        joined(files)


def test_the_table_names_every_strategy(manifest: Manifest) -> None:
    measured = rows(manifest)
    result = {
        "fingerprint": "f",
        "link": "packets",
        "processor": "cpu.max",
        "devices": {"Pi 4": {"factor": 6.0, "backbone_ms": 33.0}},
        "rows": measured,
        "verdict": verdict(measured),
        "machine": {
            "processor": "p",
            "cores": 2,
            "load_1min": 0,
            "system": "s",
            "python": "3",
            "versions": {},
        },
    }
    text = table(result)
    assert all(row["strategy"] in text for row in measured)


def test_the_plot_is_written(manifest: Manifest, tmp_path: Path) -> None:
    from benchmarks.link.plot import plot

    plot({"rows": rows(manifest)}, tmp_path / "link.png")
    assert (tmp_path / "link.png").stat().st_size > 10_000


def test_both_halves_of_the_cloud_tail_give_what_the_whole_gives(weights: Weights) -> None:
    parts, golden = Parts.of(weights, 1), weights.golden
    symbols = golden.latents[0]
    given = {"latent": symbols[None]}
    steps = weights.quantiser.steps(weights.rate_index(""))
    if len(parts.attention.get_inputs()) > 1:
        given["step"] = steps[None]
    weighted = parts.attention.run(None, given)[0]
    logits = parts.trunk.run(None, {parts.trunk.get_inputs()[0].name: weighted})[0][0]
    tail, label_set = tail_of(weights.manifest), weights.manifest.default_label_set
    right = golden.logits[tail][label_set][0]
    assert np.abs(logits - right).max() < 1e-4
    sent_back = parts.weigh(symbols, steps)
    assert len(sent_back) == 8 + 6272
    assert parts.finish(sent_back).shape == (7,)


def test_a_map_comes_back_to_half_a_level() -> None:
    values = np.random.default_rng(0).normal(size=(8, 784)).astype(np.float32)
    back = decode_map(encode_map(values))
    assert np.abs(back - values).max() <= (values.max() - values.min()) / 255 / 2 * 1.001
