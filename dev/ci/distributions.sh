#!/usr/bin/env bash
# dev/ci/distributions.sh TAG OUT: wheel, source archive and SHA256SUMS of the command line's tag, built twice and compared.
# Needs .venv with requirements_dev_lock.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
tag=$1 out=$2
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
.venv/bin/python -m dev.releasing.ci distribute "$tag" "$out"
.venv/bin/python -m dev.releasing.ci distribute "$tag" "$again/dist"
diff -r "$out" "$again/dist" || { echo "::error::two builds of $tag differ" >&2; exit 1; }
