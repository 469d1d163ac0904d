import re
from pathlib import Path

import pytest

from splitfer.cloud_server.protocol.error_map import codes_of, http_headers, trailing_metadata
from splitfer.shared import errors


@pytest.mark.parametrize(
    ("kind", "http", "grpc"),
    [
        (errors.MalformedPayload, 400, "INVALID_ARGUMENT"),
        (errors.PayloadTooLarge, 413, "RESOURCE_EXHAUSTED"),
        (errors.ModelMismatch, 409, "FAILED_PRECONDITION"),
        (errors.UnknownModel, 404, "NOT_FOUND"),
        (errors.ImageError, 422, "INVALID_ARGUMENT"),
        (errors.UnsupportedPicture, 415, "INVALID_ARGUMENT"),
        (errors.AuthError, 401, "UNAUTHENTICATED"),
        (errors.Forbidden, 403, "PERMISSION_DENIED"),
        (errors.RefusedChange, 409, "FAILED_PRECONDITION"),
        (errors.WeightsError, 422, "FAILED_PRECONDITION"),
        (errors.Overloaded, 503, "RESOURCE_EXHAUSTED"),
        (errors.OverQuota, 429, "RESOURCE_EXHAUSTED"),
        (errors.NotReady, 503, "UNAVAILABLE"),
        (errors.DeadlineExceeded, 504, "DEADLINE_EXCEEDED"),
        (errors.InferenceFailed, 500, "INTERNAL"),
        (errors.SplitFerError, 500, "INTERNAL"),
    ],
)
def test_codes(kind: type[errors.SplitFerError], http: int, grpc: str) -> None:
    codes = codes_of(kind("what"))
    assert (codes.http, codes.grpc.name) == (http, grpc)


def test_what_is_ambiguous_in_grpc_is_told_apart_by_our_code() -> None:
    busy, large = errors.Overloaded("x"), errors.PayloadTooLarge("x")
    assert codes_of(busy).grpc is codes_of(large).grpc
    assert dict(trailing_metadata(busy)) == {
        "splitfer-code": "overloaded",
        "splitfer-retryable": "true",
    }
    assert dict(trailing_metadata(large))["splitfer-retryable"] == "false"


def test_a_later_try_is_offered_where_it_helps() -> None:
    assert "Retry-After" in http_headers(errors.Overloaded("x"))
    assert http_headers(errors.Overloaded("x", retry_after_s=2.1))["Retry-After"] == "3"
    assert http_headers(errors.OverQuota("x", retry_after_s=2.1))["Retry-After"] == "3"
    assert http_headers(errors.Overloaded("x", retry_after_s=0))["Retry-After"] == "1"
    assert "Retry-After" not in http_headers(errors.InferenceFailed("x"))


def test_a_token_is_asked_for_where_one_would_help() -> None:
    assert http_headers(errors.AuthError("x")) == {"WWW-Authenticate": "Bearer"}
    assert http_headers(errors.Forbidden("x")) == {}


def test_the_page_for_grpc_callers_has_every_code_with_its_status() -> None:
    text = (Path(__file__).parents[4] / "docs" / "api" / "grpc.md").read_text()
    rows = [row.split("|")[1:3] for row in re.findall(r"^\| `[A-Z].*", text, re.MULTILINE)]
    written = {
        (code, status)
        for statuses, codes in rows
        for code in re.findall(r"`([a-z_]+)`", codes)
        for status in re.findall(r"`([A-Z_]+)`", statuses)
    }
    for kind in (
        errors.MalformedPayload, errors.PayloadTooLarge, errors.ModelMismatch, errors.ImageError,
        errors.UnsupportedPicture, errors.AuthError, errors.Forbidden, errors.Overloaded,
        errors.NotReady, errors.DeadlineExceeded, errors.InferenceFailed, errors.SplitFerError,
    ):  # fmt: skip
        error = kind("what")
        assert (error.code, codes_of(error).grpc.name) in written, error.code
