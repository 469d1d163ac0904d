import pytest

from splitfer.shared.errors import ConfigError
from splitfer.shared.extras import needing


def test_a_missing_library_is_named_with_the_command() -> None:
    said = r"^no_such_library is .*pip install '\.\[edge\]'"
    with pytest.raises(ConfigError, match=said), needing("edge"):
        __import__("no_such_library.part")


@pytest.mark.parametrize("name", ["splitfer.shared.no_such_module", "json.no_such_module"])
def test_a_fault_of_our_own_stays_one(name: str) -> None:
    with pytest.raises(ModuleNotFoundError), needing("edge"):
        __import__(name)
