#!/usr/bin/env bash
# dev/bench.sh [ARGUMENT...]: the project's figures (docs/bench.md), --help lists the arguments. Run it through `make bench`.
# Uses the machine's Docker engine if one answers, else starts a private one and ends it afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
. dev/lib.sh
need busybox busybox-static "the app that is deployed is made of it"
need tar tar "uploads are compared with tar and curl"
need docker docker.io "deploys are compared with docker build and docker run"

socket=${SEALIFT_ENGINE_SOCKET:-/var/run/docker.sock}
if ! engine_answers "$socket"; then
  # The tests' engine: its images stay, so that the base image need not be built again.
  state=${SEALIFT_TEST_ENGINE_DIR:-/var/tmp/sealift-test-$(id -u)}
  trap '.venv/bin/python -m svc.standalone engine --stop --state-dir "$state"' EXIT
  socket=$(.venv/bin/python -m svc.standalone engine --state-dir "$state")
fi
export SEALIFT_ENGINE_SOCKET=$socket
SEALIFT_TEST_BASE_IMAGE=$(dev/base_image.sh "$socket")
export SEALIFT_TEST_BASE_IMAGE

.venv/bin/python -m tests.bench "$@"
