"""What edge and cloud must agree on: contracts, preprocessing, codec, models and weights."""

import os

# Else ONNX Runtime looks its maker's collector up for every session, and keeps a database with a
# device id and this program's path, run times and errors below ~/.cache. It reads this once, when
# it is imported, which `splitfer.shared.weights.runtime` alone may do.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
