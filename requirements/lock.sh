#!/bin/sh
# Write the lock files from pyproject.toml: hashes, every platform and Python, no URLs.
# torch is left out of the development lock: which build fits depends on the machine.
set -eu
cd "$(dirname "$0")/.."
lock() {
    "$BIN/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        --custom-compile-command "make lock" --output-file "$@" \
        pyproject.toml requirements/build.in
}
lock requirements/run.txt --extra edge --extra cloud
lock requirements/dev.txt --extra dev --constraint requirements/run.txt
if grep -l '://' requirements/run.txt requirements/dev.txt; then
    echo "a lock file holds a URL" >&2
    exit 1
fi
