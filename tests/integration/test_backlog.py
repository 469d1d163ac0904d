"""More calls at once than the server can look at."""

import signal
from collections import Counter
from pathlib import Path

import grpc

from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from tests.integration.cloud_process import PATIENCE_S, CloudProcess

CALLS = 400


def test_a_flood_of_calls_is_cut_short_and_does_no_harm(
    old_weights_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text("grpc_backlog: 8\ngrpc_streams_max: 1000\n")
    with (
        CloudProcess(old_weights_folder, "--config", str(file)) as server,
        server.channel() as channel,
    ):
        stub = pb_grpc.SplitFerStub(channel)
        ask = pb.GetModelRequest()
        stub.GetModel(ask, timeout=PATIENCE_S)  # connected
        server.signal(signal.SIGSTOP)
        calls = [stub.GetModel.future(ask, timeout=PATIENCE_S) for _ in range(CALLS)]
        server.signal(signal.SIGCONT)
        ended = Counter(call.code() for call in calls)
        assert ended.total() == CALLS
        assert ended.keys() == {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
        assert stub.GetModel(ask, timeout=PATIENCE_S).fingerprint == server.fingerprint


def test_a_flood_on_one_connection_cancels_nobody_elses(old_weights_folder: Path) -> None:
    """As many calls as a stranger likes: what is too much on its connection is refused there."""
    with (
        CloudProcess(old_weights_folder) as server,
        server.channel() as strangers,
        server.channel() as honest,
    ):
        flood, stub = pb_grpc.SplitFerStub(strangers), pb_grpc.SplitFerStub(honest)
        ask = pb.GetModelRequest()
        for one in (flood, stub):
            one.GetModel(ask, timeout=PATIENCE_S)  # connected
        server.signal(signal.SIGSTOP)
        calls = [flood.GetModel.future(ask, timeout=PATIENCE_S) for _ in range(CALLS)]
        mine = [stub.GetModel.future(ask, timeout=PATIENCE_S) for _ in range(20)]
        server.signal(signal.SIGCONT)
        assert {call.code() for call in mine} == {grpc.StatusCode.OK}
        ended = Counter(call.code() for call in calls)
        assert ended.keys() <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
