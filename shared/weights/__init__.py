"""Weights: one folder per fingerprint, with a manifest that says what is in it.

shared/weights/DEFAULT                 the fingerprint that is used where none is named
shared/weights/<fingerprint>/
    manifest.json  head.onnx  local.onnx  cloud.onnx  golden.npz
"""

from shared.weights.manifest import Manifest, TailEntry
from shared.weights.store import Weights, default_folder

__all__ = ["Manifest", "TailEntry", "Weights", "default_folder"]
