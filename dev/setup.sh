#!/usr/bin/env bash
# dev/setup.sh: installs everything that the other make targets need. Installs only what is missing.
#   .venv           Python 3.11 with requirements_dev_lock.txt (hashes checked) and the command `sealift`
#   node_modules    the workflow engine's binary
#   Debian packages only as root on Debian; elsewhere it prints what is missing
# SEALIFT_ENGINE_SOCKET: the Docker engine to look for (default /var/run/docker.sock).
set -euo pipefail
cd "$(dirname "$0")/.."
. dev/lib.sh
root=$PWD

python() { # prints a Python 3.11, or fails
  local candidate
  for candidate in "${PYTHON:-python3.11}" /usr/bin/python3.11 python3; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo "$candidate"; return; }
  done
  return 1
}

venv() {
  local stamp=.venv/.stamp wanted
  wanted="$(sha256sum requirements_dev_lock.txt | cut -c1-64) $root"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    local interpreter
    # In a subshell: on a release without that package, the message below is printed as well.
    interpreter=$(python) || { is_debian_root && (install_packages python3.11 python3.11-venv); } || true
    interpreter=$(python) || die "Python 3.11 is missing: install it, or set its path (PYTHON=/path/to/python3.11 make setup)."
    "$interpreter" -c 'import ensurepip, venv' 2>/dev/null || {
      is_debian_root || die "$interpreter has no ensurepip: install it (Debian: apt-get install python3.11-venv)."
      install_packages python3.11-venv
    }
    # Its scripts contain the absolute path of the interpreter, so a moved tree needs a new environment.
    if [ "$(cut -d' ' -f2- "$stamp" 2>/dev/null)" != "$root" ] \
      || ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      "$interpreter" -m venv --clear .venv
    fi
    say "pip install -r requirements_dev_lock.txt ..."
    .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements_dev_lock.txt
    echo "$wanted" >"$stamp"
  fi
  # The command runs the code of this tree. A shell line finds Python, because a #! path is limited to 127 characters without blanks.
  [ -x .venv/bin/sealift ] && return
  cat >.venv/bin/sealift.new <<SCRIPT
#!/bin/sh
'''exec' "$root/.venv/bin/python" "\$0" "\$@"
'''
import sys

sys.path[0] = "$root"

from sealift.cli.main import main

sys.exit(main())
SCRIPT
  chmod 755 .venv/bin/sealift.new
  mv .venv/bin/sealift.new .venv/bin/sealift
}

workflow_engine() {
  local stamp=node_modules/.stamp wanted
  wanted=$(sha256sum package-lock.json | cut -c1-64)
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    need npm npm "needed to install the workflow engine"
    say "npm ci ..."
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    echo "$wanted" >"$stamp"
  fi
}

engine() {
  local socket=${SEALIFT_ENGINE_SOCKET:-/var/run/docker.sock}
  engine_answers "$socket" && return
  if [ "$(id -u)" != 0 ]; then
    die "no Docker engine answers on $socket for this user: start Docker and add this user to its group, then run this again."
  fi
  need dockerd docker.io "no Docker engine answers on $socket, so the stack starts a private one"
  need iptables iptables "needed by the private Docker engine"
  # Also in the iptables package of Debian 12.
  need ebtables ebtables "needed by the private Docker engine to isolate containers"
  need ip iproute2 "needed by the private Docker engine"
  if ! grep -q '^cgroup' /proc/mounts; then
    need cgroupfs-mount cgroupfs-mount "the private Docker engine needs control groups, and none are mounted"
    cgroupfs-mount
  fi
}

need curl curl "the scripts use it"
need git git "the tests use it"
venv
workflow_engine
engine
