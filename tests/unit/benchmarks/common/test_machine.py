from __future__ import annotations

import json

from benchmarks.common.machine import describe_machine, machine_line


def test_the_machine_is_named() -> None:
    machine = describe_machine()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["processor"]
    assert machine["cores"] >= 1
    assert machine["versions"]["onnxruntime"] in machine_line(machine)


def test_what_is_not_installed_is_left_out_of_the_line() -> None:
    machine = describe_machine()
    machine["versions"]["torch"] = None
    assert "torch" not in machine_line(machine)
