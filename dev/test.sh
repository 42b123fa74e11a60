#!/usr/bin/env bash
# dev/test.sh [PYTEST ARGUMENT...]: every test, or those named. Run it through `make test`.
# Uses the machine's Docker engine if one answers, else starts a private one and stops it afterwards. All tests at once
# are shared among two workers, of which the second one has a private engine in any case; only root can start one.
# Tests find it in SEALIFT_ENGINE_SOCKET, and a Python base image in SEALIFT_TEST_BASE_IMAGE.
set -euo pipefail
cd "$(dirname "$0")/.."
. dev/lib.sh

# is_tested SCRIPT [PYTEST ARGUMENT...]: whether these arguments select tests that need this part. Its line "# Tests: FOLDER..."
# names their folders.
is_tested() {
  local folders folder argument
  read -r -a folders <<<"$(sed -n 's/^# Tests: //p' "$1")"
  shift
  [ $# -gt 0 ] || return 0
  for argument; do
    for folder in "${folders[@]}"; do
      case $argument in "$folder"*) return 0 ;; esac
      case $folder in "${argument%/}"/*) return 0 ;; esac
    done
  done
  return 1
}

need busybox busybox-static "tests build small images from it"
if ldd "$(command -v busybox)" >/dev/null 2>&1; then
  is_debian_root || die "busybox is not linked statically: install busybox-static."
  install_packages busybox-static
fi
# Elsewhere there may be no package; the test that publishes is then skipped.
if is_debian_root; then need docker-registry docker-registry "tests publish releases to it"; fi
# The same for certificates: an ACME server, and a DNS server that takes updates.
if is_debian_root; then
  need pebble pebble "tests get certificates from it"
  need named bind9 "tests prove names by it"
fi
# Every query is tested on it. Tests start a server of their own, so the package shall make no cluster, hence no service.
if ! command -v postgres >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then
  is_debian_root || die "PostgreSQL 15 or newer is missing: install it (Debian: apt-get install postgresql-15) and run this again."
  install_packages postgresql-common
  sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  install_packages postgresql-15
fi

# Parts that take minutes to install or build are kept from run to run.
export SEALIFT_PARTS_DIR=${SEALIFT_PARTS_DIR:-/var/tmp/sealift-parts-$(id -u)}
for part in dev/parts/*.sh; do
  if [ -e "$part" ] && is_tested "$part" "$@"; then "$part"; fi
done

trap end_test_engines EXIT
start_test_engine
SEALIFT_TEST_BASE_IMAGE=$(dev/base_image.sh "$SEALIFT_ENGINE_SOCKET")
export SEALIFT_TEST_BASE_IMAGE
# All tests: two workers with an engine each, because most tests wait for something most of the time.
if [ $# = 0 ] && [ "$(id -u)" = 0 ]; then
  start_second_test_engine
  dev/base_image.sh "$second_engine" >/dev/null
  export SEALIFT_TEST_ENGINE_SOCKETS="$SEALIFT_ENGINE_SOCKET $second_engine"
fi

# In the background, because this shell handles no signals while it waits for a child. Ctrl-C reaches both.
.venv/bin/python -m tests "$@" <&0 &
tests=$!
trap : INT
trap 'kill -TERM "$tests"' TERM
code=0
wait "$tests" || code=$?
while kill -0 "$tests" 2>/dev/null; do
  code=0
  wait "$tests" || code=$?
done
exit "$code" # pytest exits with 5 when it collected nothing
