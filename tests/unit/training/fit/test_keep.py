from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.fit import checkpoint, keep
from training.fit.checkpoint import averaged_weights


def test_a_kept_run_is_gone_on_with_where_its_checkpoint_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, runs = tmp_path / "checkpoints", tmp_path / "runs"
    (checkpoints / "one").mkdir(parents=True)
    file = checkpoints / "one/last.pt"
    weights = {"a": torch.randn(3, 4), "n": torch.tensor(7)}
    torch.save({"model": {}, "average": {"weights": weights, "steps": 1}}, file)
    kept = keep.keep("one", checkpoints, runs)
    assert kept == runs / "one/weights.pt"

    file.unlink()
    monkeypatch.setattr(checkpoint, "RUNS", runs)
    found = averaged_weights(file)
    assert found["a"].dtype == torch.float32
    torch.testing.assert_close(found["a"], weights["a"], rtol=1e-3, atol=1e-3)
    assert torch.equal(found["n"], weights["n"])


def test_a_run_that_is_neither_here_nor_kept_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train that run first"):
        averaged_weights(tmp_path / "none/last.pt")


def test_what_is_too_large_to_be_committed_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    torch.save({"model": {"a": torch.zeros(100)}}, tmp_path / "one/last.pt")
    monkeypatch.setattr(keep, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="over 10"):
        keep.keep("one", tmp_path, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
