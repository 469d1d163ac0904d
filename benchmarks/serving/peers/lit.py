"""The tail under LitServe: ``python -m benchmarks.serving.peers.lit PORT``."""

from __future__ import annotations

import base64
import sys
from typing import Any

import litserve

from benchmarks.serving.peers.model import BATCH_MAX, PeerModel
from splitfer.shared.codec.latent import Latent


class TailApi(litserve.LitAPI):  # type: ignore[misc]  # LitServe has no types
    """LitServe's own steps: decode, batch, predict, encode."""

    def setup(self, device: str) -> None:
        """Load."""
        self._model = PeerModel()

    def decode_request(self, request: dict[str, str]) -> Latent:
        """Bodies are JSON there, and bytes in them are base64."""
        return self._model.decode(base64.b64decode(request["payload"]))

    def batch(self, inputs: list[Latent]) -> list[Latent]:
        """As they are."""
        return inputs

    def predict(self, latents: list[Latent]) -> Any:
        """One run."""
        return self._model.run(latents)

    def unbatch(self, output: Any) -> list[Any]:
        """A row each."""
        return list(output)

    def encode_response(self, output: Any) -> dict[str, list[float]]:
        """As JSON."""
        return {"probabilities": output.tolist()}


def main() -> None:
    """Serve until killed."""
    api = TailApi(max_batch_size=BATCH_MAX, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error"
    )


if __name__ == "__main__":
    main()
