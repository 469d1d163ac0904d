import pytest

from splitfer.edge_client.config import load_config
from splitfer.shared.errors import ConfigError


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"client_cert": "a.pem", "server_ca": "ca.pem"}, "set both or none"),
        ({"client_key": "a.key", "server_ca": "ca.pem"}, "set both or none"),
        ({"client_cert": "a.pem", "client_key": "a.key"}, "goes with server_ca"),
    ],
)
def test_half_of_it_is_refused(flags: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, flags)


def test_all_of_it() -> None:
    files = {"client_cert": "a.pem", "client_key": "a.key", "server_ca": "ca.pem"}
    assert str(load_config(None, files).client_key) == "a.key"
