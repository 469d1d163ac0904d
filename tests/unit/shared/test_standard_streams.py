from __future__ import annotations

import subprocess
import sys

import pytest


def test_what_is_opened_next_takes_no_number_of_a_closed_stream() -> None:
    code = (
        "import os, sys\n"
        "from splitfer.shared.standard_streams import open_standard_streams\n"
        "closed = open_standard_streams()\n"
        "number = os.open(os.devnull, os.O_RDONLY)\n"
        "print('lost', file=sys.stderr)\n"
        "print(sorted(closed), number > 2, sys.stdin.read() == '')\n"
    )
    script = f'"{sys.executable}" -c "$1" 0<&- 2>&-'
    done = subprocess.run(["sh", "-c", script, "sh", code], capture_output=True, text=True)
    assert done.stdout == "['stderr', 'stdin'] True True\n"


def module(side: str) -> str:
    return f"import sys; from splitfer.{side}.start import main; sys.exit(main(sys.argv[1:]))"


COMMANDS = [
    ("edge_client", "run", "--source", "demo", "--print-config"),
    ("edge_client", "doctor"),
    ("cloud_server", "serve", "--print-config"),
    ("cloud_server", "token", "new", "hall", "--scope", "infer"),
]


@pytest.mark.parametrize(("side", "arguments"), [(one[0], one[1:]) for one in COMMANDS])
def test_what_a_command_cannot_print_is_one_line_and_an_exit_code(
    side: str, arguments: tuple[str, ...]
) -> None:
    """A token that went to a full disk, say, is nowhere else."""
    command = [sys.executable, "-c", module(side), *arguments]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    name = side.replace("_", "-")
    assert done.stderr == f"{name}: standard output: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize(("side", "arguments"), [(one[0], one[1:]) for one in COMMANDS])
def test_a_reader_that_leaves_ends_a_command_in_silence(
    side: str, arguments: tuple[str, ...]
) -> None:
    command = [sys.executable, "-c", module(side), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.close()  # long before it prints
        assert done.stderr.read() == ""
    assert done.returncode == 130
