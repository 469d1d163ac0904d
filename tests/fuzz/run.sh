#!/bin/sh
# Fuzz the entropy decoder, guided by coverage, under the address and undefined sanitizers:
#   sh tests/fuzz/run.sh [inputs, default 1000000] [side of a map, default 28]
# Smaller maps give more inputs a second through the same code: a side of 5 some thirty times.
# Needs clang. Without it, the seeded run in test_entropy_fuzz.py is what there is.
set -eu
cd "$(dirname "$0")/../.."
work=${FUZZ_DIR:-.cache/fuzz}
mkdir -p "$work/corpus"
clang -std=c11 -g -O2 -DSIDE="${2:-28}" -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=all -Ishared/codec \
    tests/fuzz/decode_fuzzer.c shared/codec/entropy_core.c -o "$work/decode_fuzzer"
"${PYTHON:-.venv/bin/python}" -m tests.fuzz.write_corpus "$work"
SPLITFER_TABLES="$work/tables.bin" "$work/decode_fuzzer" -runs="${1:-1000000}" -max_len=1600 \
    -timeout=5 -rss_limit_mb=512 -print_final_stats=1 -artifact_prefix="$work/" "$work/corpus"
