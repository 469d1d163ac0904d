"""Weights: one folder per fingerprint, with a manifest that says what is in it.

shared/weights/DEFAULT                 the fingerprint that is used where none is named
shared/weights/<fingerprint>/
    manifest.json  head.onnx  local.onnx  cloud.onnx  golden.npz, and what else the manifest names
"""

from splitfer.shared.weights.manifest import Manifest, RateEntry, TailEntry
from splitfer.shared.weights.store import Weights, default_folder, shipped_folders

__all__ = ["Manifest", "RateEntry", "TailEntry", "Weights", "default_folder", "shipped_folders"]
