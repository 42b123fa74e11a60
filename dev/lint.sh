#!/usr/bin/env bash
# dev/lint.sh: ruff (a public name without a docstring fails), formatting, mypy --strict.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy pkg svc build sealift tests dev
