#!/bin/sh
# Fails where shared/stubs is not what protos/ generates.
set -eu
fresh=$(mktemp -d .stubs.XXXXXX)
trap 'rm -rf "$fresh"' EXIT
sh protos/generate.sh "$fresh"
diff -r -x __pycache__ shared/stubs "$fresh" || { echo "stubs are stale: run make stubs" >&2; exit 1; }
echo "stubs are up to date"
