#!/usr/bin/env bash
# dev/ci/smoke.sh SERVICE...: load the images with Bazel and start each as locked down as it runs: no network, nothing
# writable, no rights, not root. It must print its version and have no shell.
set -euo pipefail
cd "$(dirname "$0")/../.."
for service in "$@"; do
  dev/ci/bazel.sh run --config=ci "//build/${service//-/_}:load"
  image=sealift/$service:dev
  locked=(--rm --read-only --network none --cap-drop ALL --security-opt no-new-privileges)
  docker run "${locked[@]}" "$image" --version
  [ "$(docker image inspect --format '{{.Config.User}}' "$image")" = 65532:65532 ] || { echo "::error::$image runs as root" >&2; exit 1; }
  if docker run "${locked[@]}" --entrypoint /bin/sh "$image" -c true 2>/dev/null; then
    echo "::error::$image has a shell" >&2
    exit 1
  fi
done
