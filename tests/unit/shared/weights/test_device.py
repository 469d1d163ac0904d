"""An accelerator is asked for by name, and never quietly left out."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from splitfer.shared.errors import ConfigError
from splitfer.shared.weights import Weights, default_folder, runtime
from splitfer.shared.weights.runtime import read_model, session

HAS_CUDA = "CUDAExecutionProvider" in runtime.onnxruntime.get_available_providers()


@pytest.fixture
def tail_file() -> Path:
    return default_folder() / "cloud.onnx"


@pytest.mark.skipif(HAS_CUDA, reason="this ONNX Runtime has CUDA")
def test_without_cudas_runtime_the_message_says_what_to_install(tail_file: Path) -> None:
    with pytest.raises(ConfigError, match="device: cuda needs onnxruntime-gpu"):
        session(read_model(tail_file), 1, "cuda")


def test_a_runtime_that_falls_back_to_the_processor_is_refused(
    tail_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fallen_back(*_: object, providers: list[object]) -> SimpleNamespace:
        assert providers[0] == ("CUDAExecutionProvider", {"use_tf32": "0"})
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    here = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(runtime.onnxruntime, "get_available_providers", lambda: here)
    monkeypatch.setattr(runtime.onnxruntime, "InferenceSession", fallen_back)
    with pytest.raises(ConfigError, match="no NVIDIA GPU"):
        session(read_model(tail_file), 1, "cuda")


@pytest.mark.skipif(not HAS_CUDA, reason="no accelerator at hand")
def test_on_an_accelerator_the_golden_numbers_hold() -> None:
    weights = Weights(default_folder(), "cuda")
    weights.tail("cloud", 1)
    weights.head(1)
