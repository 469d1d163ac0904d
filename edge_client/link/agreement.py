"""Whether this device and a server can work together: schema, weights, labels and codecs."""

from __future__ import annotations

from splitfer.shared.contracts import SCHEMA_VERSION
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb


def difference(model: pb.Model, fingerprint: str, codecs: frozenset[str], labels: LabelSet) -> str:
    """What keeps this edge from using the server's model; empty where nothing does."""
    if model.schema_version != SCHEMA_VERSION:
        return f"this device speaks schema {SCHEMA_VERSION}, the server {model.schema_version}"
    if model.fingerprint != fingerprint:
        return (
            f"this device has weights {fingerprint}, "
            f"the server {', '.join(model.served) or model.fingerprint}"
        )
    if tuple(model.labels) != LABELS:
        return f"this device's labels are {list(LABELS)}, the server's {list(model.labels)}"
    if not codecs <= set(model.codecs):
        return f"this device writes codecs {sorted(codecs)}, the server reads {list(model.codecs)}"
    # A server from before there were two says none, and answers FER2013's.
    offered = list(model.label_sets) or [LabelSet.FER2013.value]
    if labels not in offered:
        return (
            f"this device asks for labels {labels.value}, the server answers {', '.join(offered)}"
        )
    return ""
