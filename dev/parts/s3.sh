#!/usr/bin/env bash
# dev/parts/s3.sh: an S3 server that verifies signatures, for tests: OpenStack Swift with its s3api. `pkg/storage/s3/testing.py` runs it.
# The packages are unpacked into a directory of their own: nothing of this machine changes. About 5 s, 55 MB, once.
# Tests: pkg/storage/s3 svc/api/services/builds svc/worker/workflows/building tests/e2e/s3_test.py tests/e2e/redaction_test.py
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
begin_part s3 dev/parts/s3.sh
is_debian_root || die "an S3 server for tests is unpacked from Debian packages, which needs Debian and root."
say "unpacking Debian's OpenStack Swift for tests, once (about 5 s) ..."
rm -rf "$part/debs" "$part/root" "$part/stamp"
mkdir -p "$part/debs/partial" "$part/root"
# What the machine itself has is not among them; all five are, however, as long as they are not installed here.
download() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --download-only --reinstall \
    -o "Dir::Cache::Archives=$part/debs/" swift-proxy swift-account swift-container swift-object memcached >"$part/log" 2>&1
}
download || { apt-get update -qq >&2 && download; } || { tail -20 "$part/log" >&2; die "apt-get failed, see above."; }
for deb in "$part"/debs/*.deb; do dpkg-deb -x "$deb" "$part/root"; done
rm -rf "$part/debs"
LD_LIBRARY_PATH=$(printf '%s:' "$part"/root/usr/lib/*-linux-gnu "$part"/root/lib/*-linux-gnu) "$part/root/usr/bin/memcached" --version >&2
end_part
