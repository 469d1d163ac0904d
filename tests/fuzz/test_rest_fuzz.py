"""Schemathesis reads the OpenAPI document of a real server and asks what it says may be asked, and
what it says may not: nothing makes the server fail."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.integration.cloud_process import CloudProcess

TOKEN = "only-for-this-test"
SETTINGS = settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)


@pytest.fixture(scope="module")
def server(
    old_weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudProcess]:
    file = tmp_path_factory.mktemp("config") / "cloud.yaml"
    file.write_text(f"token: {TOKEN}\n")
    with CloudProcess(old_weights_folder, "--config", str(file)) as server:
        yield server


@pytest.mark.parametrize("token", [TOKEN, "unknown"])
def test_nothing_makes_it_fail(server: CloudProcess, token: str) -> None:
    api = schemathesis.openapi.from_url(f"http://{server.http}/openapi.json")
    operations = [result.ok() for result in api.get_all_operations()]
    assert {"/v1/faces", "/v1/model", "/healthz"} <= {one.path for one in operations}
    codes = {one.label: ask(one, token) for one in operations}
    assert all(codes.values())
    if token != TOKEN:
        assert codes["POST /v1/faces"] <= {401, 422}
    assert "Traceback" not in server.log


def ask(operation: Any, token: str) -> set[int]:
    """Ask in several ways; the statuses that came."""
    seen: set[int] = set()

    @given(case=operation.as_strategy())
    @SETTINGS
    def once(case: Any) -> None:
        case.headers["Authorization"] = f"Bearer {token}"
        response = case.call()
        seen.add(response.status_code)
        # Overloaded, and the only failure that is the caller's to bear.
        checks = [] if response.status_code == 503 else [not_a_server_error]
        case.validate_response(response, checks=[*checks, response_schema_conformance])

    once()
    return seen
