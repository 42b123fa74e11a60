#!/usr/bin/env bash
# dev/parts/clickhouse.sh: ClickHouse's engine as a Python library (chdb), which `pkg/telemetry/clickhouse/testing.py` serves to tests.
# In an environment of its own, without the data frame libraries that it only needs for data frames. About 15 s, 600 MB, once.
# Tests: pkg/telemetry pkg/builders/sink_clickhouse_test.py tests/e2e/clickhouse_test.py
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
begin_part clickhouse dev/parts/clickhouse.sh dev/parts/clickhouse.txt
say "installing ClickHouse's engine for tests, once (about 15 s) ..."
rm -rf "$part/env" "$part/stamp"
.venv/bin/python -m venv "$part/env"
"$part/env/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r dev/parts/clickhouse.txt
"$part/env/bin/python" -c 'from chdb import session; session.Session()'
end_part
