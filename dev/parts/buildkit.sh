#!/usr/bin/env bash
# dev/parts/buildkit.sh: a modern BuildKit for tests, the one in Debian trixie's Docker engine. `pkg/buildkit/testing_daemon.py` runs it.
# The packages are unpacked into a directory of their own: nothing of this machine changes. About 10 s, 260 MB, once.
# Tests: pkg/buildkit pkg/builders/buildkit pkg/builders/depot pkg/builders/docker/containerd_store_test.py tests/e2e/buildkit_test.py tests/e2e/depot_test.py tests/e2e/redaction_test.py tests/integration/depot_test.py
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
suite=trixie
begin_part buildkit dev/parts/buildkit.sh
is_debian_root || die "a modern BuildKit for tests is unpacked from Debian packages, which needs Debian and root."
need mmdebstrap mmdebstrap "it unpacks a modern BuildKit for tests"
# The mirror that apt itself uses here.
# shellcheck disable=SC2016 # apt replaces it
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $(. /etc/os-release && echo "$VERSION_CODENAME")" | head -1)
[ -n "$mirror" ] || die "apt knows no Debian mirror, so no modern BuildKit can be unpacked."

say "unpacking Debian $suite's Docker engine for tests, once (about 10 s) ..."
rm -rf "$part/new"
mmdebstrap --quiet --mode=root --variant=extract --include=docker.io \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  "$suite" "$part/new" "$mirror" >"$part/log" 2>&1 || { tail -20 "$part/log" >&2; die "mmdebstrap failed, see above."; }
# Only unpacked, not installed: what the packages of an installed system add.
for folder in bin sbin lib lib64; do [ ! -d "$part/new/usr/$folder" ] || ln -sfn "usr/$folder" "$part/new/$folder"; done
mkdir -p "$part/new"/{proc,sys,run,tmp,state,var/lib} "$part/new/etc/docker"
ln -sfn /state/certs.d "$part/new/etc/docker/certs.d"
chroot "$part/new" dockerd --version >"$part/log"
say "$(cat "$part/log")"
rm -rf "$part/root"
mv "$part/new" "$part/root"
end_part
