#!/usr/bin/env bash
# dev/bazel/bazel4.sh [WORK]: our Bazel rules really run, without internet: Debian's Bazel 4.2.3, stand-ins for other
# people's rules, wheels and Debian packages of both architectures (see tests/packaging/bazel4). It builds every image
# for amd64 and arm64 twice, compares, pushes to a registry of its own, loads and runs the images, arm64 under qemu, and as an
# installation on a real Kubernetes.
# SEALIFT_ENGINE_SOCKET names the engine that runs the images; where none answers, a private one is started for the time.
# Root on Debian only; 10 minutes on two busy cores.
# What is fetched stays in ${XDG_CACHE_HOME:-~/.cache}/sealift/bazel4.
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
is_debian_root || die "this needs root on Debian: it installs Debian's Bazel and unpacks images with their owners."
need bazel bazel-bootstrap "it builds the images"
for package in rules-java rules-proto skylib; do
  [ -e "/usr/share/doc/bazel-$package" ] || install_packages "bazel-$package"
done
need bsdtar libarchive-tools "it packs the layers"
need skopeo skopeo "it stands for crane"
need docker-registry docker-registry "images are pushed to it"
need qemu-aarch64-static qemu-user-static "it runs the arm64 images"
need docker docker.io "it runs the amd64 images"
need docker-compose docker-compose "it runs them as a stack"
need openssl openssl "it makes the certificates"
need npm npm "it fetches the workflow engine"

keep=${1:-}
work=${keep:-$(mktemp -d /var/tmp/sealift-bazel4.XXXXXX)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sealift/bazel4
root=$PWD
export RELEASE_VERSION=v0.0.1

# Debian's build of Bazel logs its sandbox; --batch leaves no server behind.
bazel4() { # OUTPUT COMMAND ARGUMENT...
  local out=$1 status
  shift
  set +e
  (cd "$work/tree" && bazel --batch --output_user_root="$work/$out" "$@" --noshow_progress) >"$work/bazel.log" 2>&1
  status=$?
  set -e
  if [ $status != 0 ]; then
    grep -v -E 'linux-sandbox|src/main/tools' "$work/bazel.log" | tail -40 >&2
    die "bazel $1 failed, see above."
  fi
}
finish() {
  [ -z "${registry:-}" ] || kill "$registry" 2>/dev/null || true
  end_test_engines
  [ -n "$keep" ] || { chmod -R u+w "$work"; rm -rf "$work"; }
}
trap finish EXIT
start_test_engine
export DOCKER_HOST=unix://$SEALIFT_ENGINE_SOCKET

services=()
while read -r file; do services+=("$(basename "$(dirname "$file")")"); done < <(grep -lE '^(service|program)_image\(' build/*/BUILD.bazel)
images=()
for service in "${services[@]}"; do
  images+=("//build/$service:image" "//build/$service:image_linux_amd64" "//build/$service:image_linux_arm64")
done
digests() { # which index and which layers each image has
  for service in "${services[@]}"; do
    cat "$work/tree/bazel-bin/build/$service/image/index.json"
    cat "$work/tree/bazel-bin/build/$service/image_linux_amd64/index.json"
    echo
  done
}

mkdir -p "$cache"
.venv/bin/python -m tests.packaging.bazel4.workspace "$work" "$cache"

say "building ${services[*]} for two architectures, with no engine in reach ..."
SECONDS=0
DOCKER_HOST=unix:///nonexistent bazel4 out build "${images[@]}"
clean_s=$SECONDS
digests >"$work/first"

say "building again without a change ..."
bazel4 out build "${images[@]}"
grep -q -E '^INFO: (0 processes|1 process: 1 internal)' "$work/bazel.log" || die "a build without a change ran actions: $(grep process "$work/bazel.log")"

say "building after a change of one line ..."
.venv/bin/python -m tests.packaging.bazel4.layers "$work/tree" >"$work/layers.json"
printf '\n# one more line\n' >>"$work/tree/pkg/ids/__init__.py"
SECONDS=0
bazel4 out build "${images[@]}"
change_s=$SECONDS
.venv/bin/python -m tests.packaging.bazel4.layers "$work/tree" "$work/layers.json" >"$work/changed.json"
cp pkg/ids/__init__.py "$work/tree/pkg/ids/__init__.py"

say "building once more from nothing, to compare ..."
bazel4 out2 build "${images[@]}"
digests | cmp "$work/first" - || die "two clean builds gave different images."

say "pushing a release to a registry, with no engine in reach ..."
cat >"$work/registry.yml" <<CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: 127.0.0.1:5917}
CONFIG
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
for service in "${services[@]}"; do
  DOCKER_HOST=unix:///nonexistent bazel4 out2 run --config=release "//build/$service:push" -- \
    --repository "127.0.0.1:5917/sealift/${service//_/-}"
done

say "loading into the engine ..."
for service in "${services[@]}"; do
  bazel4 out2 run --config=release "//build/$service:load"
done

say "running the images ..."
cd "$root"
# A real Kubernetes with a builder beside it, on which the images run as an installation.
for part in kubernetes buildkit; do "dev/parts/$part.sh"; done
printf '{"clean_build_s": %s, "one_line_s": %s}\n' "$clean_s" "$change_s" >"$work/times.json"
SEALIFT_BAZEL4=$work .venv/bin/python -m pytest -rP -p no:cacheprovider -o python_files='*_check.py' tests/packaging/bazel4
