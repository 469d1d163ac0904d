#!/bin/sh
# Python stubs, with types, from protos/ into the folder named.
set -eu
cd "$(dirname "$0")"
out=$(cd .. && mkdir -p "$1" && cd "$1" && pwd)
rm -rf "$out"/*
"../$BIN/python" -m grpc_tools.protoc -I . --python_out="$out" --pyi_out="$out" \
    --grpc_python_out="$out" splitfer/v1/splitfer.proto inference/grpc_inference.proto
"../$BIN/python" -m grpc_tools.protoc -I . --python_out="$out" --pyi_out="$out" \
    onnx_subset/external_data.proto
# protoc writes imports from the root of its tree; ours live under splitfer.shared.stubs.
find "$out" -name '*_grpc.py' -exec sed -i.bak \
    -e 's/^from splitfer\.v1 import/from splitfer.shared.stubs.splitfer.v1 import/' \
    -e 's/^from inference import/from splitfer.shared.stubs.inference import/' {} +
find "$out" -name '*.bak' -delete
for folder in "$out" "$out/splitfer" "$out/splitfer/v1" "$out/inference" "$out/onnx_subset"; do
    printf '"""Generated from protos/: do not edit; run `make stubs`."""\n' > "$folder/__init__.py"
done
