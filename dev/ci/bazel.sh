#!/usr/bin/env bash
# dev/ci/bazel.sh ARGUMENT...: Bazel with the shared cache, as the workflows run it.
#   CACHE          write: only for code of main. Anything else, and nothing at all, reads: forks and branches must not put
#                  into the cache what a release then ships.
#   REMOTE_CACHE   address of the cache; without it, or without a token, Bazel works alone
#   DEPOT_CACHE_TOKEN or DEPOT_TOKEN   what the runner gives to each job
set -euo pipefail
cd "$(dirname "$0")/../.."
startup=()
token=${DEPOT_CACHE_TOKEN:-${DEPOT_TOKEN:-}}
if [ -n "${REMOTE_CACHE:-}" ] && [ -n "$token" ]; then
  config=remote-readonly
  [ "${CACHE:-}" != write ] || config=remote
  # In a file, not on the command line: other processes may read that, and Bazel prints it.
  rc=$(umask 077 && mktemp)
  trap 'rm -f "$rc"' EXIT
  {
    echo "build:$config --remote_cache=$REMOTE_CACHE"
    echo "build:$config --remote_header=authorization=$token"
    echo "build --config=$config"
  } >"$rc"
  startup=("--bazelrc=$rc")
fi
unset GHCR_TOKEN # who pushes finds the login in a file; what a build runs needs none
# No exec: the trap has to run.
"${BAZEL:-bazel}" "${startup[@]}" "$@"
