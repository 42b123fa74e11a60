#!/usr/bin/env bash
# dev/compose.sh [COMPOSE ARGUMENT...]: the stack from the images (default: up). Run it through `make compose`.
# `up` first writes the keys and the configuration of every service into the state directory, and dev/.env for dev/compose.yaml;
# `prepare` does only that.
set -euo pipefail
cd "$(dirname "$0")/.."
. dev/lib.sh
if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v docker-compose >/dev/null; then
  compose=(docker-compose)
else
  die "docker compose is missing: install Docker's compose plugin (Debian: apt-get install docker-compose)."
fi
socket=${SEALIFT_ENGINE_SOCKET:-/var/run/docker.sock}
engine_answers "$socket" || die "no Docker engine answers on $socket: start Docker, or set SEALIFT_ENGINE_SOCKET."
export DOCKER_HOST=unix://$socket

prepare() {
  local state
  state=$(.venv/bin/python -m dev.build_backend.run configure --engine never --engine-socket "$socket" |
    .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["state_dir"])')
  # beside what dev/setup-build-backend has written there
  touch dev/.env
  local kept
  kept=$(grep -vE '^(COMPOSE_PROJECT_NAME|SEALIFT_STATE_DIR|SEALIFT_ENGINE_SOCKET|SEALIFT_ENGINE_GROUP|SEALIFT_USER)=' dev/.env || true)
  (umask 077 && cat >dev/.env.new) <<ENV
COMPOSE_PROJECT_NAME=sealift
SEALIFT_STATE_DIR=$state
SEALIFT_ENGINE_SOCKET=$socket
SEALIFT_ENGINE_GROUP=$(stat -Lc %g "$socket")
SEALIFT_USER=$(id -u):$(id -g)
$kept
ENV
  mv dev/.env.new dev/.env
}

[ $# -gt 0 ] || set -- up
case $1 in
  prepare) prepare; exit ;;
  up)
    for folder in build/*/BUILD.bazel; do
      grep -qE '^(service|program)_image\(' "$folder" || continue
      image=sealift/$(basename "$(dirname "$folder")" | tr _ -):dev
      docker image inspect "$image" >/dev/null 2>&1 || die "there is no image $image: run \`make oci-load\`."
    done
    prepare ;;
esac
[ -e dev/.env ] || die "the stack was never started: run \`make compose\`."
exec "${compose[@]}" -f dev/compose.yaml "$@"
