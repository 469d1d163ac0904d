"""``GetWeights`` on the server that the settings name."""

from __future__ import annotations

from typing import Any

from splitfer.edge_client.address import parse_address
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.link.call_cause import plain_words
from splitfer.edge_client.link.channel import open_channel
from splitfer.edge_client.quiet_grpc import grpc
from splitfer.shared.certificates import read_certificates
from splitfer.shared.errors import LinkError
from splitfer.shared.peer_words import peer_words
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import SplitFerStub
from splitfer.shared.wire import AUTHORIZATION

_CALL_S = 30.0


class ServerWeights:
    """Calls on a channel of their own, so that a large transfer fills nobody else's.

    Raises:
        ConfigError: a certificate cannot be read.
    """

    def __init__(self, config: EdgeConfig) -> None:
        assert config.server is not None
        address = parse_address(config.server)
        pems = read_certificates(config.server_ca, config.client_cert, config.client_key)
        self._token = config.token.get_secret_value() if config.token else None
        self._channel = open_channel(str(address), pems.ca, pems.cert, pems.key)
        self._stub = SplitFerStub(self._channel)  # type: ignore[no-untyped-call]  # generated

    def __call__(self, request: pb.GetWeightsRequest) -> pb.WeightsPart:
        """One call.

        Raises:
            LinkError: it brought nothing.
        """
        metadata = ((AUTHORIZATION, f"Bearer {self._token}"),) if self._token else ()
        try:
            reply: pb.WeightsPart = self._stub.GetWeights(
                request, timeout=_CALL_S, metadata=metadata, wait_for_ready=False
            )
        except ValueError:  # of a channel that was closed
            raise LinkError("the run ends") from None
        except grpc.RpcError as raised:
            error: Any = raised
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise LinkError("the server hands out no weights (hand_out_weights)") from None
            said = peer_words(plain_words(error.details() or str(error.code())), self._token)
            raise LinkError(f"the server did not give weights: {said}") from None
        return reply

    def close(self) -> None:
        """Break off what is under way, and hang up."""
        self._channel.close()
