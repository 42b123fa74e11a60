#!/usr/bin/env bash
# dev/bazel/base_digest.sh [--write]: the digest of the base image of today; with --write it goes into MODULE.bazel.
# Needs crane and the registry. Refuses a digest that is not one of an index with both architectures.
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
command -v crane >/dev/null || die "crane is missing: install it from the releases of google/go-containerregistry."
image=$(sed -n 's/^ *image = "\(.*\)",$/\1/p' MODULE.bazel)
digest=$(crane digest "$image:nonroot")
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || die "the registry answered $digest, which is no digest."
platforms=$(crane manifest "$image@$digest" | .venv/bin/python -c '
import json, sys
for manifest in json.load(sys.stdin).get("manifests", []):
    platform = manifest["platform"]
    print("/".join(platform[key] for key in ("os", "architecture", "variant") if platform.get(key)))')
for platform in linux/amd64 linux/arm64/v8; do
  grep -qx "$platform" <<<"$platforms" || die "$image@$digest has no $platform; it has: ${platforms:-one architecture only}"
done
if [ "${1:-}" = --write ]; then
  sed -i "s|^\( *digest = \"\)sha256:[0-9a-f]*\",|\1$digest\",|" MODULE.bazel
fi
echo "$image@$digest"
