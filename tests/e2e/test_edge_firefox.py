"""The edge in Firefox: the tests of Chromium's, with a picture on a canvas as the camera."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from splitfer.shared.weights import default_folder
from tests.e2e import test_edge_network as network
from tests.e2e import test_edge_own as own
from tests.e2e import test_edge_page as chromium
from tests.e2e.edge_page import needs_edge, open_edge, start, wait_for_path
from tests.firefox import FirefoxPage, needs_firefox
from tests.integration.cloud_process import CloudProcess

pytestmark = [pytest.mark.timeout(300), needs_firefox, needs_edge]


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    page = FirefoxPage(tmp_path_factory.mktemp("profile"))
    yield cast(Any, page)
    page.quit()


@pytest.fixture
def server() -> Iterator[CloudProcess]:
    with CloudProcess(default_folder()) as server:
        yield server


def test_cloud_then_local_then_cloud_again(firefox: Any, server: CloudProcess) -> None:
    chromium.test_cloud_then_local_then_cloud_again(firefox, server)


def test_a_frames_answer_is_the_python_edges(firefox: Any, server: CloudProcess) -> None:
    chromium.test_a_frames_answer_is_the_python_edges(firefox, server)


def test_the_lighter_networks_answer_is_a_python_edges(firefox: Any, server: CloudProcess) -> None:
    own.test_its_answer_is_that_of_a_python_edge_with_it(firefox, server)


def test_the_lighter_network_is_here_without_a_network(firefox: Any, server: CloudProcess) -> None:
    own.test_it_is_here_without_a_network(firefox, server)


def test_the_second_start_needs_no_network(firefox: Any, server: CloudProcess) -> None:
    chromium.test_the_second_start_needs_no_network(firefox, server)


def test_flight_mode(firefox: Any, server: CloudProcess) -> None:
    open_edge(firefox, server)
    start(firefox)
    wait_for_path(firefox, "cloud", "an answer of the server")
    network.check_flight_mode(firefox, firefox.offline)
