#!/bin/sh
# The C sources as WebAssembly modules, into the folder that is named. Needs clang and wasm-ld.
set -eu
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
codec=../../../../shared/codec
compile() {
    clang --target=wasm32 -std=c11 -O3 -msimd128 -mbulk-memory -nostdlib \
        -Wall -Wextra -Werror -Iinclude -I$codec -Wl,--no-entry -Wl,-z,stack-size=262144 "$@" memory.c
}
compile -o "$out/codec.wasm" codec.c $codec/entropy_core.c
compile -o "$out/frontal.wasm" frontal.c
