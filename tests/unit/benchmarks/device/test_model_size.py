from __future__ import annotations

import json
import sys

import pytest
import torch
from torch import nn

from benchmarks.device.model_size import count_macs, main, measure, table
from training.models.asp import ASP
from training.models.sfp import SFP
from training.models.sfp_energy import SFPEnergy
from training.models.split_model import SplitConfig


def test_macs_of_layers_by_hand() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Flatten(),
        nn.Linear(8 * 16, 7),
    )
    by_hand = 8 * 16 * 3 * 9 + 8 * 16 * 9 + 8 * 16 * 7
    counts = count_macs(layers, torch.zeros(1, 3, 8, 8))
    assert counts == {"network": by_hand, "asp": 0, "sfp": 0}


def test_macs_of_attention_by_hand() -> None:
    x = torch.zeros(1, 4, 3, 3)
    asp = 2 * 4 * 9 + 9 * (3 + 3 + 5 + 5) + 4 * 9 + 4 * 9  # project, means, product, weighting
    sfp = 4 * 9 + 4 * 4 + 4 * 9  # masks, FC, scaling
    assert count_macs(nn.Sequential(ASP(4), SFP(4)), x) == {"network": 0, "asp": asp, "sfp": sfp}


def test_macs_of_magnitudes_by_hand() -> None:
    # Haar takes 4x6 to 2x3 a band: 4 rows and 6 columns of both bands; then FC and scaling.
    by_hand = 2 * (4 * 4 * 6 + 4 * 6 * 6) + 4 * 2 + 2 * 24
    counts = count_macs(SFPEnergy(2, "haar", 1), torch.zeros(1, 2, 4, 6))
    assert counts == {"network": 0, "asp": 0, "sfp": by_hand}


def test_sizes_next_to_table_4() -> None:
    result = measure(SplitConfig())
    assert round(result["backbone"]["parameters"] / 1e6, 2) == 1.26
    assert 0.14 < result["backbone"]["macs"] / 1e9 < 0.15
    parts = result["parts"]
    assert parts["asp"]["parameters"] == 2 * 117
    assert parts["sfp"]["parameters"] == 116 * 116 + 116
    share = result["share_of_full"]
    assert share["asp+sfp"]["macs"] < 0.01
    assert share["head"]["macs"] + share["cloud_tail"]["macs"] == pytest.approx(1, abs=1e-4)
    assert "paper 001, Table 4" in table(result)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["model_size", "--modules", "none", "--json"])
    assert main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["parts"]["asp"] == {"parameters": 0, "macs": 0}
