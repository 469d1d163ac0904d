#!/bin/sh
# Writes SplitFER's wheel for 64-bit Arm, built on another machine: no device needs a compiler.
#
#   sh deploy/arm64/wheel.sh FOLDER      BIN: where python is (.venv/bin); it has setuptools
#
# Its only compiled part is the entropy code. That uses Python's limited API, so one build serves
# Python 3.11 and later, and nothing of the C library newer than glibc 2.17: else no wheel is written.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
BIN=$(cd "${BIN:-.venv/bin}" && pwd)
TARGET=aarch64-linux-gnu
command -v $TARGET-gcc > /dev/null || {
    echo "wheel.sh: no compiler for 64-bit Arm: apt-get install gcc-$TARGET" >&2
    exit 1
}
echo '#include <stdint.h>' | $TARGET-gcc -E - > /dev/null 2>&1 || {
    echo "wheel.sh: no C library for 64-bit Arm: apt-get install libc6-dev-arm64-cross" >&2
    exit 1
}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
# A tree of its own: what was built here for this machine is not packed, nor built over.
tar -cf - --exclude='*.so' --exclude=__pycache__ --exclude=node_modules \
    pyproject.toml setup.py README.md LICENSE splitfer shared edge_client cloud_server |
    tar -xf - -C "$tree"
CC=$TARGET-gcc LDSHARED="$TARGET-gcc -shared" _PYTHON_HOST_PLATFORM=manylinux_2_17-aarch64 \
    PYTHONWARNINGS=ignore \
    "$BIN/python" -m pip wheel --quiet --disable-pip-version-check --no-index --no-deps \
    --no-build-isolation --wheel-dir "$tree/wheels" "$tree"
"$BIN/python" -m zipfile -e "$tree"/wheels/*.whl "$tree/unpacked"
extension=$tree/unpacked/splitfer/shared/codec/_entropy.abi3.so
newest=$($TARGET-readelf --version-info "$extension" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
[ "$newest" = GLIBC_2.17 ] || {
    echo "wheel.sh: the entropy code needs ${newest:-nothing of glibc}, the wheel's tag says 2.17" >&2
    exit 1
}
rm -f "$out"/splitfer-*.whl
mv "$tree"/wheels/*.whl "$out"
