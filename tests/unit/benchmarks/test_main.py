from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import __main__ as main_module
from benchmarks.__main__ import BENCHMARKS, main, question
from splitfer.shared.standard_streams import ended_in_words
from training import __main__ as training_main

STARTED_BY_OTHERS = {
    "benchmarks.readme.settings",  # by make settings
    "benchmarks.attack.attacker",
    "benchmarks.link.edge", "benchmarks.link.two_way", "benchmarks.serving.load",
    "benchmarks.serving.raw", "benchmarks.models.probe", "benchmarks.week.killed",
}  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return main()


def test_list_says_what_each_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main_module, "longest_s", {"link": 300, "edge": 20}.get)
    assert run(monkeypatch, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BENCHMARKS)
    by_name = {line.split()[0]: line for line in lines}
    assert by_name["link"].endswith("(5 min)")
    assert by_name["edge"].endswith("(20 s)")
    assert ")" not in by_name["codec"]
    assert all(len(question(name).split()) >= 2 for name in BENCHMARKS)


def test_a_name_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "acuracy") == 2
    error = capsys.readouterr().err
    assert "'acuracy'" in error
    assert "rate_accuracy" in error


def test_the_rest_of_the_line_is_the_benchmarks_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "capacity", "--help")
    assert ended.value.code == 0
    assert "python -m benchmarks capacity" in capsys.readouterr().out


def test_every_benchmark_with_a_command_line_is_listed() -> None:
    commands = set()
    for file in Path("benchmarks").rglob("*.py"):
        functions = {
            node.name
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        started = {"net", "peers", "__main__.py"} & set(file.parts)
        if "main" in functions and not started:
            commands.add(".".join(file.with_suffix("").parts))
    assert commands - STARTED_BY_OTHERS == set(BENCHMARKS.values())
    assert all(find_spec(module) for module in BENCHMARKS.values())


@pytest.mark.parametrize(
    ("main_of", "command", "module"),
    [
        (main, "edge", BENCHMARKS["edge"]),
        (training_main.main, "run", training_main.COMMANDS["run"]),
    ],
)
def test_what_is_not_installed_is_one_line(
    main_of: Callable[[], int],
    command: str,
    module: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(sys, "argv", ["command", command, "--help"])
    assert main_of() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "make .venv/.dev" in line


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("/dev/full", 1, "benchmarks: output: No space left on device\n"),
        (None, 130, ""),  # its reader has left
    ],
)
def test_a_list_that_nobody_takes_ends_without_a_traceback(
    target: str | None, code: int, said: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    out = writer if target is None else os.open(target, os.O_WRONLY)
    command = [sys.executable, "-m", "benchmarks", "list"]
    done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (code, said)


def test_ctrl_c_in_a_benchmark_is_an_exit_code() -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert ended_in_words("benchmarks", interrupted) == 130
