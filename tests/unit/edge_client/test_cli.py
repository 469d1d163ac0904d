from __future__ import annotations

import pytest

from splitfer.edge_client import cli
from splitfer.edge_client.recognizer import Recognizer


def test_weights_that_do_not_fit_into_the_memory_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_room(_: object) -> Recognizer:
        raise MemoryError

    monkeypatch.setattr(Recognizer, "from_config", no_room)
    # 1 and not 4: a service tries again, when others may have given memory back.
    assert cli.main(["run", "--source", "demo", "--output", "/dev/null"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "out of memory" in line


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_health_waits_for_some_time(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(["health", "--timeout-s", seconds])
    assert raised.value.code == 2
    assert "--timeout-s" in capsys.readouterr().err
