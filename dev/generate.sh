#!/usr/bin/env bash
# dev/generate.sh [OUT]: Python code of every proto/**/*.proto, at the same path under OUT (default: the repository).
# Generated with the pinned grpcio-tools and mypy-protobuf of requirements_dev_lock.txt; the output is checked in.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
bin=${VENV:-.venv}/bin
mapfile -t protos < <(cd proto && find . -name '*.proto' | sed 's|^\./||' | sort)
PATH="$(cd "$bin" && pwd):$PATH" "$bin/python" -m grpc_tools.protoc -I proto --python_out="$out" --mypy_out="$out" --grpc_python_out="$out" \
  --mypy_grpc_out="$out" "${protos[@]}"
# messages alone need no service module
for f in "${protos[@]}"; do
  grep -q '^service ' "proto/$f" || rm -f "$out/${f%.proto}_pb2_grpc.py" "$out/${f%.proto}_pb2_grpc.pyi"
done
