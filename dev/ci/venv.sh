#!/usr/bin/env bash
# dev/ci/venv.sh: .venv with requirements_dev_lock.txt, hashes checked; all that a job without containers needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
"${PYTHON:-python3.11}" -m venv .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements_dev_lock.txt
