#!/bin/sh
# Rebuild svc/krane/ingress/xds.binpb, the message types of Envoy's API, from the PyPI package xds-protos.
#
# The package is installed into a temporary environment of its own (it overwrites modules of other packages) with
# whatever index this machine's pip is set up for. The output is checked in and deterministic: run again with the same
# pins, `git diff` stays empty.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

"$python" -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet --disable-pip-version-check xds-protos==1.85.0 protobuf==7.36.2
"$work/env/bin/python" -I "$root/dev/xds_descriptors.py" "$work/xds.binpb"
mv "$work/xds.binpb" "$root/svc/krane/ingress/xds.binpb"
