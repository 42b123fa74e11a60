# shellcheck shell=bash
# Sourced by the scripts in dev/: messages, packages, the engine. Callers set -euo pipefail and run in the repository root.

say() { printf '%s\n' "$*" >&2; }
die() { say "sealift: $*"; exit 1; }

is_debian_root() { [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null; }

# need PROGRAM PACKAGE WHY: install the Debian package of PROGRAM if it is missing, or print how to install it.
need() {
  PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null && return
  is_debian_root || die "$1 is missing ($3): install it (Debian: apt-get install $2) and run this again."
  install_packages "$2"
}

# install_packages NAME...: apt-get update at most once per run of a script, then install.
install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  if [ -z "${APT_UPDATED:-}" ]; then
    say "apt-get update ..."
    apt-get update -qq >&2 || die "apt-get update failed; the packages $* are needed."
    export APT_UPDATED=1
  fi
  say "apt-get install $* ..."
  local log
  log=$(mktemp)
  apt-get install -y -qq --no-install-recommends "$@" >"$log" 2>&1 || {
    tail -20 "$log" >&2
    rm -f "$log"
    die "apt-get install $* failed, see above."
  }
  rm -f "$log"
}

# begin_part NAME FILE...: for dev/parts/NAME.sh. Sets `part`, the folder that the part is prepared in, and holds its lock, as two
# runs of tests may begin at once. Ends the script if what is there was made by these files; their comments don't count.
begin_part() {
  part=${SEALIFT_PARTS_DIR:-/var/tmp/sealift-parts-$(id -u)}/$1
  part_stamp=$(grep -hv '^#' "${@:2}" | sha256sum | cut -c1-64)
  [ "$(cat "$part/stamp" 2>/dev/null)" != "$part_stamp" ] || exit 0
  mkdir -p "$part"
  exec 9>"$part/lock"
  flock 9
  [ "$(cat "$part/stamp" 2>/dev/null)" != "$part_stamp" ] || exit 0
}

# end_part: the part is complete. Tests that need it fail until then.
end_part() { echo "$part_stamp" >"$part/stamp"; }

# engine_answers SOCKET: whether a Docker engine answers on the socket.
engine_answers() { [ "$(curl -s --max-time 3 --unix-socket "$1" http://localhost/_ping 2>/dev/null)" = OK ]; }

# start_test_engine: SEALIFT_ENGINE_SOCKET is the machine's engine if one answers, else a private one, which end_test_engines stops.
start_test_engine() {
  export SEALIFT_ENGINE_SOCKET=${SEALIFT_ENGINE_SOCKET:-/var/run/docker.sock}
  engine_answers "$SEALIFT_ENGINE_SOCKET" && return
  SEALIFT_ENGINE_SOCKET=$(start_private_engine "$(test_engine_dir)")
  test_engines=$(test_engine_dir)
}

# start_second_test_engine: a private engine beside it, in second_engine, for another worker of the tests.
start_second_test_engine() {
  second_engine=$(start_private_engine "$(test_engine_dir)-2")
  export second_engine # read by the caller
  test_engines="${test_engines:-} $(test_engine_dir)-2"
}

# Their images are kept, so that the next run does not rebuild the base image.
test_engine_dir() { printf '%s\n' "${SEALIFT_TEST_ENGINE_DIR:-/var/tmp/sealift-test-$(id -u)}"; }
# Without the variable, which would name the engine to use instead of a private one.
start_private_engine() { env -u SEALIFT_ENGINE_SOCKET .venv/bin/python -m svc.standalone engine --state-dir "$1"; }

end_test_engines() {
  local folder
  for folder in ${test_engines:-}; do .venv/bin/python -m svc.standalone engine --stop --state-dir "$folder"; done
}
