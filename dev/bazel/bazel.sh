#!/usr/bin/env bash
# dev/bazel/bazel.sh [--check]: BUILD files from the imports, formatted; both requirements locks; Bazel's module lock.
# With --check it ends with 1 if that changed a tracked file, for CI. Locks keep their versions; UPGRADE=1 takes newer ones.
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
check=${1:-}
before=$(git diff | sha256sum)

lock() { # FILE ARGUMENT...
  local out=$1
  shift
  .venv/bin/uv pip compile -q ${UPGRADE:+--upgrade} --universal --python-version "$(cat .python-version)" --generate-hashes \
    --no-emit-index-url --no-header pyproject.toml --extra services "$@" -o "$out"
}
lock requirements_lock.txt
lock requirements_dev_lock.txt --group dev -c requirements_lock.txt

.venv/bin/python -m dev.bazel.generate
git ls-files -z --cached --others --exclude-standard '*.bazel' '*.bzl' | xargs -0 node node_modules/@bazel/buildifier/buildifier.js -lint=fix -warnings=all

# Debian's Bazel 4 knows no modules.
if bazel=$(command -v bazelisk || command -v bazel) && [[ $("$bazel" --version 2>/dev/null) =~ ^bazel\ ([0-9]+)\. ]] && ((BASH_REMATCH[1] >= 7)); then
  mode=update
  if [ "$check" = --check ] && [ -e MODULE.bazel.lock ]; then mode=error; fi
  "$bazel" mod deps --lockfile_mode=$mode >/dev/null
else
  say "no Bazel 7 or newer here: MODULE.bazel.lock was left alone."
fi

if [ "$check" = --check ] && [ "$before" != "$(git diff | sha256sum)" ]; then
  git diff --stat >&2
  die "these files are not what \`make bazel\` makes; run it and commit them."
fi
