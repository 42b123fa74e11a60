#!/usr/bin/env bash
# dev/parts/clickhouse.sh: ClickHouse's engine as a Python library (chdb), which `pkg/telemetry/clickhouse/testing.py` serves to tests.
# In an environment of its own, without the data frame libraries that it only needs for data frames. About 15 s, 600 MB, once.
# Tests: pkg/telemetry pkg/builders/sink_clickhouse_test.py tests/e2e/clickhouse_test.py
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
part=${SEALIFT_PARTS_DIR:-/var/tmp/sealift-parts-$(id -u)}/clickhouse
stamp=$(cat dev/parts/clickhouse.sh dev/parts/clickhouse.txt | sha256sum | cut -c1-64)
[ "$(cat "$part/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

mkdir -p "$part"
exec 9>"$part/lock" # two runs of tests may begin at once
flock 9
[ "$(cat "$part/stamp" 2>/dev/null)" != "$stamp" ] || exit 0
say "installing ClickHouse's engine for tests, once (about 15 s) ..."
rm -rf "$part/env" "$part/stamp"
.venv/bin/python -m venv "$part/env"
"$part/env/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r dev/parts/clickhouse.txt
"$part/env/bin/python" -c 'from chdb import session; session.Session()'
echo "$stamp" >"$part/stamp"
