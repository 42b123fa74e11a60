#!/usr/bin/env bash
# dev/parts/kubernetes.sh: a Kubernetes for tests, which `pkg/testing/kubernetes` runs. Into `bin`: kube-apiserver, kube-controller-manager,
# kube-scheduler, kubelet, kube-proxy and pause 1.20.2, compiled from Debian's source package with Debian's Go. Into `root`, unpacked and not
# installed: Debian's etcd, kubectl, containerd, runc and CNI plugins. 5 to 10 minutes on 2 cores, once; 700 MB, and 2.5 GB while it builds.
# Tests: pkg/testing/kubernetes svc/krane/runtime tests/integration/krane_replicas_test.py tests/integration/krane_killed_test.py tests/e2e/kubernetes_test.py dev/k8s tests/packaging/tilt_test.py
set -euo pipefail
cd "$(dirname "$0")/../.."
. dev/lib.sh
source=kubernetes=1.20.5+really1.20.2-1.1+deb12u1
version=v1.20.2
suite=bookworm
commands=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
packages=(etcd-server etcd-client kubernetes-client containerd runc containernetworking-plugins conntrack ethtool)
begin_part kubernetes dev/parts/kubernetes.sh
is_debian_root || die "a Kubernetes for tests is built from Debian's source package, which needs Debian and root."
say "building Kubernetes $version for tests, once (5 to 10 minutes on 2 cores) ..."
need dpkg-source dpkg-dev "it unpacks the source of Kubernetes"
need gcc gcc "it compiles the pause program of Kubernetes"
need iptables iptables "the Services of a real node are made of its rules"
need ip iproute2 "it links a real node to this machine"
[ -e /usr/include/stdio.h ] || install_packages libc6-dev

began=$(date +%s)
step() { say "  $(($(date +%s) - began)) s: $*"; }
work=$part/work
rm -rf "$work" "$part/new" "$part/stamp"
mkdir -p "$work"/{debs/partial,lists/partial,go} "$part/new"/{bin,root}

# download PACKAGE...: with what they depend on and this machine lacks, into $work/debs.
download() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --download-only --reinstall \
    -o "Dir::Cache::Archives=$work/debs/" "$@" >"$work/log" 2>&1
}
# unpack FOLDER PACKAGE...
unpack() {
  local folder=$1 deb
  shift
  download "$@" || { apt-get update -qq >&2 && download "$@"; } || { tail -20 "$work/log" >&2; die "apt-get failed, see above."; }
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$folder"; done
  rm -f "$work"/debs/*.deb
}
unpack "$part/new/root" "${packages[@]}"
unpack "$work/go" golang-1.19-go
rm -rf "$part/new/root/usr/share"/{doc,man,locale}
step "Debian's programs are unpacked"

# The source comes from the mirror that apt itself uses here, through a list of its own: this machine's lists stay as they are.
# shellcheck disable=SC2016 # apt replaces it
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" | head -1)
[ -n "$mirror" ] || die "apt knows no mirror of Debian $suite, so Kubernetes cannot be built."
echo "deb-src $mirror $suite main" >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$work/lists";
APT::Sandbox::User "root";
CONF
(
  cd "$work"
  export APT_CONFIG=$work/apt.conf
  apt-get update -qq && apt-get source -qq "$source"
) >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; die "the source package $source cannot be had, see above."; }
tree=$(compgen -G "$work/kubernetes-1.20*/go.mod")
step "the source is unpacked, its signatures are checked"

# In GOPATH mode, as Debian's own rules do: with -mod=vendor, Go 1.19 wants to update go.mod. Go takes a package's path from PWD.
export GOROOT=$work/go/usr/lib/go-1.19 GOPATH=$work/gopath GOCACHE=$work/cache GO111MODULE=off GOPROXY=off GOFLAGS='' CGO_ENABLED=0
export PATH=$GOROOT/bin:$PATH
mkdir -p "$GOPATH/src/k8s.io"
ln -s "$(dirname "$tree")" "$GOPATH/src/k8s.io/kubernetes"
# compile PROGRAM ARGUMENT...: with its output in the log.
compile() { "$@" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; die "$1 $2 failed, see above."; }; }
cd "$GOPATH/src/k8s.io/kubernetes"
export PWD=$GOPATH/src/k8s.io/kubernetes

# The tree lacks one file that kube-apiserver needs: it is generated from every package with the mark.
annotated=$( { grep -rl --include='*.go' '+k8s:openapi-gen=' cmd pkg plugin
  (cd staging/src && grep -rl --include='*.go' '+k8s:openapi-gen=' .) | sed 's#^\./#vendor/#'; } |
  grep -v -E '^vendor/k8s.io/(code-generator|sample-apiserver)/|zz_generated|_test.go|/testdata/' |
  xargs -n1 dirname | sort -u | sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
compile go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
compile "$work/openapi-gen" --logtostderr -h hack/boilerplate/boilerplate.generatego.txt -i "$annotated" \
  -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi -r "$work/violations"
step "the API's description is generated"

flags="-s -w"
for package in component-base client-go/pkg; do
  name=k8s.io/kubernetes/vendor/k8s.io/$package/version
  flags="$flags -X $name.gitVersion=$version -X $name.gitMajor=1 -X $name.gitMinor=20 -X $name.gitTreeState=archive"
done
for command in "${commands[@]}"; do
  compile go build -trimpath -ldflags "$flags" -o "$part/new/bin/" "./cmd/$command"
  step "$command"
done
compile gcc -Os -static -DVERSION=test -o "$part/new/bin/pause" build/pause/linux/pause.c

[ "$("$part/new/bin/kube-apiserver" --version)" = "Kubernetes $version" ] || die "kube-apiserver does not tell its version."
# shellcheck disable=SC2115 # set above
rm -rf "$part/bin" "$part/root"
mv "$part/new/bin" "$part/new/root" "$part/"
rm -rf "$part/new" "$work"
end_part
step "done"
