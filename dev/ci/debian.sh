#!/usr/bin/env bash
# dev/ci/debian.sh TARGET: `make TARGET` as root on a plain Debian 12, in a container of the runner's engine: for what needs
# Debian's own packages, such as its Bazel. An engine of its own runs in there, hence --privileged.
set -euo pipefail
cd "$(dirname "$0")/../.."
# /var/tmp, where that engine keeps its images, is a volume: overlays can't lie on the container's overlay.
docker run --rm --privileged --volume "$PWD:/checkout:ro" --volume /var/tmp debian:12 bash -euc '
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends ca-certificates git make >/dev/null
  git config --global --add safe.directory "*" # the checkout belongs to the runner
  git clone -q /checkout /root/sealift
  cd /root/sealift
  make "$1"' bash "$1"
