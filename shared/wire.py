"""Words and limits of the wire formats that stand on both sides."""

from __future__ import annotations

# Trailing metadata of a gRPC call that failed: our own code, and whether to try again helps.
CODE_KEY = "splitfer-code"
RETRYABLE_KEY = "splitfer-retryable"
# gRPC metadata; of HTTP too.
AUTHORIZATION = "authorization"
TRACEPARENT = "traceparent"
# HTTP's.
DEADLINE_HEADER = "X-SplitFER-Deadline-Ms"
FINGERPRINT_HEADER = "X-SplitFER-Fingerprint"
# The longest deadline that a caller may name.
DEADLINE_MS_MAX = 3_600_000
# HTTP's admin route, and what stands in a fingerprint's place for the former default.
ADMIN_MODELS = "/v1/admin/models"
PREVIOUS = "previous"
# Of a file of weights, in one reply: with its fields it is less than a device takes.
WEIGHTS_PIECE_BYTES = 128 * 2**10
