#!/usr/bin/env bash
# dev/bench.sh [ARGUMENT...]: the project's figures (docs/bench.md), --help lists the arguments. Run it through `make bench`.
# Uses the machine's Docker engine if one answers, else starts a private one and ends it afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
. dev/lib.sh
need busybox busybox-static "the deployed app consists of it"
need tar tar "baseline of uploads"
need docker docker.io "baseline of deploys"
need wrk wrk "load of the ingress"
need pebble pebble "domains get certificates from it"

dev/parts/buildkit.sh # 100,000 log lines are built on it

trap end_test_engines EXIT
start_test_engine
SEALIFT_TEST_BASE_IMAGE=$(dev/base_image.sh "$SEALIFT_ENGINE_SOCKET")
export SEALIFT_TEST_BASE_IMAGE

.venv/bin/python -m tests.bench "$@"
