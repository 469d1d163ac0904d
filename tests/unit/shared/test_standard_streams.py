from __future__ import annotations

import subprocess
import sys


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
