#!/usr/bin/env bash
# dev/base_image.sh [SOCKET]: prints the name of a Python base image that the engine has. For `--build-arg BASE_IMAGE=...`.
# With a registry that is python:3.12-slim. Without one it is built from Debian packages, once per engine, with this machine's
# CA certificates in it, so that pip works in builds behind a proxy with a certificate authority of its own.
# The tarball is kept in ${XDG_CACHE_HOME:-~/.cache}/sealift.
set -euo pipefail
cd "$(dirname "$0")/.."
. dev/lib.sh
socket=${1:-${SEALIFT_ENGINE_SOCKET:-/var/run/docker.sock}}
public=python:3.12-slim
suite=bookworm

api() { curl -sS --unix-socket "$socket" "$@"; }
has() { [ "$(api -o /dev/null -w '%{http_code}' --max-time 10 "http://localhost/images/$1/json")" = 200 ]; }

build_base() { # FILE: a tar of a minimal Debian with Python and pip
  is_debian_root || die "the image $public cannot be pulled, and a base image can be built from Debian packages only as root on \
Debian: load one into the engine and pass it with --build-arg BASE_IMAGE=..."
  need mmdebstrap mmdebstrap "no image registry answers, so a base image is built from Debian packages"
  local mirror
  # The mirror that apt itself uses here.
  # shellcheck disable=SC2016 # apt replaces it
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $(. /etc/os-release && echo "$VERSION_CODENAME")" | head -1)
  [ -n "$mirror" ] || die "apt knows no Debian mirror, so no base image can be built."
  work=$(mktemp -d) # not local: the trap runs when the function is gone
  trap 'rm -rf "$work"' EXIT
  say "building a Python base image from Debian packages, once (about a minute) ..."
  # shellcheck disable=SC2016 # the hooks' own shell replaces them
  mmdebstrap --quiet --variant=minbase --include=python3,python3-pip,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
    --customize-hook='for n in python python3; do ln -sf /usr/bin/python3 "$1/usr/local/bin/$n"; done; ln -sf /usr/bin/pip3 "$1/usr/local/bin/pip"' \
    --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' \
    "$suite" "$work/base.tar" "$mirror" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; die "mmdebstrap failed, see above."; }
  mkdir -p "$(dirname "$1")"
  mv "$work/base.tar" "$1"
}

engine_answers "$socket" || die "no Docker engine answers on $socket."
if has "$public"; then echo "$public"; exit; fi

# The engine asks the registry: whether this machine's curl could is another question.
if [ "$(api -o /dev/null -w '%{http_code}' --max-time 10 "http://localhost/distribution/$public/json" 2>/dev/null)" = 200 ]; then
  say "pulling $public ..."
  api --max-time 600 -X POST "http://localhost/images/create?fromImage=python&tag=3.12-slim" >/dev/null || true
  if has "$public"; then echo "$public"; exit; fi
fi

image=sealift-base/python:$suite
if ! has "$image"; then
  # Another set of certificates is another image.
  tar=${XDG_CACHE_HOME:-$HOME/.cache}/sealift/python-$suite-$(sha256sum /etc/ssl/certs/ca-certificates.crt | cut -c1-12).tar
  [ -s "$tar" ] || build_base "$tar"
  changes='changes=ENV%20PATH%3D/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  changes="$changes&changes=ENV%20SSL_CERT_FILE%3D/etc/ssl/certs/ca-certificates.crt%20PIP_CERT%3D/etc/ssl/certs/ca-certificates.crt"
  changes="$changes&changes=CMD%20%5B%22python3%22%5D"
  say "importing $image ..."
  api --max-time 300 -X POST -H 'Content-Type: application/x-tar' -T "$tar" \
    "http://localhost/images/create?fromSrc=-&repo=sealift-base/python&tag=$suite&$changes" >/dev/null
  has "$image" || die "the engine did not take the base image $tar."
fi
echo "$image"
