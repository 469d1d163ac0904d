#!/bin/sh
# Look the locked dependencies up among the known vulnerabilities. Where that database is out of
# reach the audit is skipped, and says so: the other checks need no network.
# Asked first is something that it must know. Without a network pip-audit ends with 1, as it does
# for a vulnerability; and behind a mirror of PyPI that has the packages and not the database, it
# skips each one and ends with "No known vulnerabilities found" and 0.
set -eu
cd "$(dirname "$0")/.."
if ! "$BIN/python" - <<'PYTHON'
import json
import sys
import urllib.request

try:
    with urllib.request.urlopen("https://pypi.org/pypi/jinja2/2.4.1/json", timeout=10) as reply:
        known = json.load(reply)["vulnerabilities"]
except (OSError, ValueError, KeyError) as error:
    sys.exit(f"pip-audit: {error}")
sys.exit(0 if known else "pip-audit: the database knows of nothing")
PYTHON
then
    echo "WARNING: dependencies NOT audited: no database of vulnerabilities in reach" >&2
    exit 0
fi
# The lock files hold everything, with its hash: nothing is resolved or installed.
for file in requirements/run.txt requirements/dev.txt; do
    "$BIN/pip-audit" --strict --requirement "$file" --disable-pip --require-hashes \
        --progress-spinner off
done
