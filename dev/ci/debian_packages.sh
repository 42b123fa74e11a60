#!/usr/bin/env bash
# dev/ci/debian_packages.sh NAME...: install Debian or Ubuntu packages, as root or by sudo.
set -euo pipefail
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@"
