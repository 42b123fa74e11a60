#!/usr/bin/env bash
# dev/ci/image.sh TAG PACKAGE OUT [push]: build the image of a service's tag and, with push, publish it.
# A version that the registry has with the same content is left alone, one with other content is an error.
# Without push it must be there: what was published is then what this machine builds from the tag.
# Writes OUT/digest and OUT/sbom.spdx.json. Needs GHCR_TOKEN, and git at the tag.
set -euo pipefail
cd "$(dirname "$0")/../.."
tag=$1 package=$2 out=$3 mode=${4:-verify}
export RELEASE_VERSION=${tag#*/}
mkdir -p "$out"
step() { "${PYTHON:-python3}" -m dev.releasing.ci "$@"; }

dev/ci/bazel.sh build --config=ci --config=release "$package:image"
layout=$(dev/ci/bazel.sh cquery --config=ci --config=release --output=files "$package:image")
compare=("$tag" "$layout")
# A registry of another machine, for tests.
[ -z "${REGISTRY_REFERENCE:-}" ] || compare+=(--reference "$REGISTRY_REFERENCE" --scheme http)
if [ "$mode" = push ]; then
  found=$(step compare "${compare[@]}")
  case $found in
    *published=true*) echo "$tag is published already, with the same content." >&2 ;;
    *) dev/ci/bazel.sh run --config=ci --config=release "$package:push" ;;
  esac
fi
found=$(step compare "${compare[@]}" --must-exist)
digest=${found#*digest=}
printf '%s\n' "${digest%%$'\n'*}" >"$out/digest"
step sbom "$tag" "$layout" "$out/sbom.spdx.json"
