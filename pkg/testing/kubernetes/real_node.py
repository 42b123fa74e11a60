"""A real node for tests: containerd, kubelet and kube-proxy, which run real Pods. Needs root.

Everything of it runs in namespaces of its own (network, mounts, processes), as a container would. The machine itself
has one network device with two routes of it, which go with the namespaces, and control groups, which are removed at the
end or by the next node. The machine reaches Pods and NodePorts; Pods reach the machine, and nothing beyond it.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.images import Image
from pkg.testing.kubernetes.programs import Program, StateFolder
from pkg.testing.parts import prepared_part
from pkg.testing.wait import KUBERNETES_WAIT_S, WAIT_S

NODE = "node"
CLUSTER_DNS = "10.96.0.10"
PAUSE_IMAGE = "sealift.test/pause:1"
_KEPT = "/var/tmp"  # noqa: S108, on a disk, as /tmp may not be
# From the range for tests of networks (RFC 2544), which nothing routes; BuildKit for tests takes its lower half. The
# cluster N has 198.19.N.0/24: Pods in its lower half, the link between machine and node in its upper half.
_NETWORK = "198.19"
_NUMBERS = range(1, 255)
_UNUSED_SNAPSHOTTERS = ("aufs", "btrfs", "devmapper", "zfs")
_OWN_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_CGROUPS = Path("/sys/fs/cgroup")
# What the kubelet would set for the whole machine. It finds files that look so instead.
_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# The first process of the namespaces. Folders of the machine that containerd and the kubelet write to are out of sight.
# It collects orphans, among them the shims of containers.
_FIRST_PROCESS = """
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
for each in lib log; do mkdir -p "$0/var/$each"; mount --bind "$0/var/$each" "/var/$each"; done
for each in "$@"; do [ ! -e "/proc/sys/$each" ] || mount --bind "$0/sysctl/$each" "/proc/sys/$each"; done
ip link set lo up
touch "$0/entered"
while :; do sleep 3600 & wait; done
"""


class _InsideProgram(Program):
    """A program in the namespaces. What was started is nsenter, the program is its child."""

    @property
    def pid(self) -> int:
        """Of the program itself, as the machine numbers it."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if child := _child_of(super().pid):
                return child
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} does not run:\n{self.log_tail}")

    def send(self, number: signal.Signals) -> None:
        """Sends the program a signal. nsenter stops itself when its child is stopped, so both are to be continued."""
        super().send(number)
        if number is signal.SIGCONT:
            os.kill(super().pid, number)

    def _end(self, number: signal.Signals) -> None:
        with contextlib.suppress(RuntimeError, ProcessLookupError):
            self.send(number)
            self.send(signal.SIGCONT)
        super()._end(signal.SIGCONT)  # nsenter ends with its child


class RealNode:
    """One node, for one cluster.

    Its namespaces and its link to the machine are there at once: the API server starts on `host_address`.

    Attributes:
        folder: its state and logs.
        host_address: of the machine, as Pods see it.
        address: of the node, as the machine sees it; NodePorts answer there.
        containerd, kubelet, proxy: after `start`; to be killed, paused and started again.
    """

    containerd: Program
    kubelet: Program
    proxy: Program

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise PermissionError("a real node for tests makes namespaces and control groups: run this as root")
        self._part = prepared_part("kubernetes")
        self._state = StateFolder(_KEPT, _remove_cgroups)
        self.folder = self._state.path
        self._forwards: list[Program] = []
        self._first = self._first_process()
        try:
            self._first.start()
            self._first.wait_for((self.folder / "entered").exists, KUBERNETES_WAIT_S)
            self._number = self._link()
        except BaseException:
            self.stop()
            raise
        self.host_address, self.address = self._at(129), self._at(130)
        self.cgroup = f"/sealift-kubernetes-{self._number}"

    def start(self, plane: ControlPlane) -> None:
        """Returns once it is a Ready node of this control plane, after about 10 s. Raises RuntimeError."""
        self._make_cgroups()
        self.containerd = self._start_containerd()
        self.load(Image(PAUSE_IMAGE, ["/pause"], {"/pause": self._part / "bin" / "pause"}))
        self.kubelet = self._start_kubelet(plane)
        self.proxy = self._start_proxy(plane)
        subset = {"addresses": [{"ip": self.host_address}], "ports": [{"name": "https", "port": plane.port}]}
        plane.apply({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "kubernetes", "namespace": "default"},
            "subsets": [subset],
        })  # fmt: skip
        self.kubelet.wait_for(lambda: plane.is_node_ready(NODE), KUBERNETES_WAIT_S)

    def stop(self) -> None:
        """Ends it with every Pod, and removes its state. Idempotent."""
        for forward in self._forwards:
            forward.kill()
        self._first.kill()
        if hasattr(self, "kubelet"):
            for program in (self.proxy, self.kubelet, self.containerd):
                program.kill()
        _remove_cgroups(self.folder)
        self._state.remove()

    def load(self, image: Image) -> None:
        """Puts an image into containerd, under its name."""
        with tempfile.TemporaryFile() as archive:
            archive.write(image.archive())
            archive.seek(0)
            self.load_archive(archive)

    def load_archive(self, archive: IO[bytes]) -> None:
        """Puts the images of an archive, as `docker save` writes it, into containerd. Raises RuntimeError."""
        import_archive(self.socket, archive)

    def ctr(self, *words: str) -> str:
        """What containerd's command line tool answers. Raises RuntimeError."""
        return _ctr(self.socket, *words)

    def forward_loopback(self, host: str) -> None:
        """Lets containerd reach what listens on a port of this machine's loopback at the same `address:port`.

        So it pulls from a registry that listens on 127.0.0.1, without TLS, as engines do. Ends with the node.
        """
        port = host.rsplit(":", 1)[1]
        through = f"{self.host_address}:{port}"
        module = [sys.executable, "-m", "pkg.testing.kubernetes.forward"]
        environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}
        enter = ["nsenter", f"--target={self._namespaces}", "--net", "--"]
        for words in ([*module, through, host], [*enter, *module, host, through]):
            forward = Program(f"forward-{port}", words, self.folder, environment)
            forward.start()
            self._forwards.append(forward)

    @property
    def socket(self) -> Path:
        """Of containerd."""
        return self.folder / "containerd.sock"

    def _at(self, number: int) -> str:
        return f"{_NETWORK}.{self._number}.{number}"

    def _first_process(self) -> Program:
        for name, value in _SYSCTLS.items():
            path = self.folder / "sysctl" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value + "\n")
        enter = ["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child=KILL"]
        words = [*enter, "sh", "-c", _FIRST_PROCESS, str(self.folder), *_SYSCTLS]
        return Program("namespaces", words, self.folder)

    @property
    def _namespaces(self) -> int:
        """The process that holds them."""
        return _child_of(self._first.pid)

    def _link(self) -> int:
        """The first free number: the device with its name takes it."""
        for number in random.sample(_NUMBERS, len(_NUMBERS)):
            host, node = f"{_NETWORK}.{number}.129", f"{_NETWORK}.{number}.130"
            device, pods = f"slk8s{number}", f"{_NETWORK}.{number}.0/25"
            peer = ["peer", "name", "uplink", "netns", str(self._namespaces)]
            if subprocess.run(
                ["ip", "link", "add", device, "type", "veth", *peer], capture_output=True, check=False
            ).returncode:
                continue
            inside = ["nsenter", f"--target={self._namespaces}", "--net", "--"]
            for command in (
                ["ip", "address", "add", f"{host}/30", "dev", device],
                ["ip", "link", "set", device, "up"],
                [*inside, "ip", "address", "add", f"{node}/30", "dev", "uplink"],
                [*inside, "ip", "link", "set", "uplink", "up"],
                [*inside, "ip", "route", "add", "default", "via", host],
                ["ip", "route", "add", pods, "via", node],
            ):
                subprocess.run(command, capture_output=True, check=True)
            return number
        raise RuntimeError(
            f"no link to a node can be made: {len(_NUMBERS)} names are taken, or there is no veth device"
        )

    def _make_cgroups(self) -> None:
        # the next node removes them if this process cannot
        (self.folder / "cgroup").write_text(self.cgroup)
        for hierarchy in _hierarchies():
            (hierarchy / self.cgroup.lstrip("/")).mkdir(exist_ok=True)

    def _inside(self, name: str, *words: str | Path) -> Program:
        # the root, too: of a mount namespace that would be another one where tests run in a chroot
        enter = ["nsenter", f"--target={self._namespaces}", "--mount", "--root", "--net", "--pid", "--ipc", "--"]
        root = self._part / "root"
        programs = ":".join(str(root / each) for each in ("usr/sbin", "usr/bin", "sbin", "bin"))
        libraries = ":".join(map(str, [*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu")]))
        environment = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": libraries}
        bound = ["setpriv", "--pdeathsig", "KILL", "--"]
        return _InsideProgram(name, [*enter, *bound, *map(str, words)], self.folder, environment)

    def _start_containerd(self) -> Program:
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": True, "hairpinMode": True,
                    "ipam": {
                        "type": "host-local", "ranges": [[{"subnet": self._at(0) + "/25"}]],
                        "dataDir": str(self.folder / "addresses"), "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }  # fmt: skip
        (self.folder / "cni").mkdir()
        (self.folder / "cni" / "10-pods.conflist").write_text(json.dumps(network))
        # restrict_oom_score_adj: virtual machines may lack CAP_SYS_RESOURCE, and no container would start
        (self.folder / "containerd.toml").write_text(f"""\
version = 2
root = "{self.folder}/containerd"
state = "/run/containerd"
disabled_plugins = [{", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in _UNUSED_SNAPSHOTTERS)}]
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self._part}/root/usr/lib/cni"
    conf_dir = "{self.folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
""")
        program = self._inside(
            "containerd", "containerd", "--config", self.folder / "containerd.toml", "--log-level", "warn"
        )
        program.start()
        program.wait_for(self._has_containerd, KUBERNETES_WAIT_S)
        return program

    def _has_containerd(self) -> bool:
        with contextlib.suppress(RuntimeError):
            return self.socket.exists() and bool(self.ctr("version"))
        return False

    def _start_kubelet(self, plane: ControlPlane) -> Program:
        certificate, key = plane.certificate_of(NODE, self.address).write(self.folder, "kubelet")
        (self.folder / "resolv.conf").write_text("")
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "clusterDNS": [CLUSTER_DNS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.folder / "resolv.conf"),
            # nobody could pull a loaded image again
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "serializeImagePulls": False,
            "syncFrequency": "10s",
            "nodeStatusUpdateFrequency": "2s",
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(plane.authority_file)},
            },
            "authorization": {"mode": "Webhook"},
            "healthzBindAddress": "127.0.0.1",
        }
        (self.folder / "kubelet.json").write_text(json.dumps(config))
        user = plane.kubeconfig_of(f"system:node:{NODE}", "system:nodes")
        program = self._inside(
            "kubelet", self._part / "bin/kubelet", f"--config={self.folder}/kubelet.json", f"--kubeconfig={user}",
            f"--root-dir={self.folder}/kubelet", f"--hostname-override={NODE}", f"--node-ip={self.address}",
            "--container-runtime=remote", f"--container-runtime-endpoint=unix://{self.socket}",
        )  # fmt: skip
        program.start()
        return program

    def _start_proxy(self, plane: ControlPlane) -> Program:
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "bindAddress": self.address,
            "clientConnection": {"kubeconfig": str(plane.kubeconfig_of("system:kube-proxy"))},
            "clusterCIDR": self._at(0) + "/25",
            "hostnameOverride": NODE,
            "mode": "iptables",
            "oomScoreAdj": 0,
            "conntrack": {"maxPerCore": 0, "min": 0},
        }
        (self.folder / "proxy.json").write_text(json.dumps(config))
        program = self._inside("kube-proxy", self._part / "bin/kube-proxy", f"--config={self.folder}/proxy.json")
        program.start()
        return program


class Cluster(ControlPlane):
    """A control plane with one real node.

    Attributes:
        node: the node.
    """

    def __init__(self) -> None:
        self.node = RealNode()
        try:
            super().__init__(self.node.host_address)
        except BaseException:
            self.node.stop()
            raise

    def start(self) -> None:
        """Returns once Pods run, after about 25 s. Raises RuntimeError with the end of a log."""
        super().start()
        self.node.start(self)

    def clear(self) -> None:
        """Removes every namespace that was made, so that nothing holds a share of the node any more."""
        names = [each["metadata"]["name"] for each in self.get("namespaces")["items"]]
        made = [name for name in names if name not in _OWN_NAMESPACES]
        if not made:
            return
        self.kubectl("delete", "namespace", "--wait=false", *made)
        for name in made:  # no second is left to them: nobody asks them for anything any more
            self.kubectl("delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false", "-n", name)

    def stop(self) -> None:
        """Ends everything and removes its state. Idempotent."""
        self.node.stop()
        super().stop()


def import_archive(socket: Path | str, archive: IO[bytes]) -> None:
    """Puts the images of an archive, as `docker save` writes it, into the containerd of a node. Raises RuntimeError."""
    _ctr(socket, "images", "import", "--all-platforms", "-", stdin=archive)


def _ctr(socket: Path | str, *words: str, stdin: IO[bytes] | None = None) -> str:
    tool = prepared_part("kubernetes") / "root/usr/bin/ctr"
    command = [str(tool), "--address", str(socket), "--namespace", "k8s.io", *words]
    done = subprocess.run(command, stdin=stdin or subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ctr {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def _child_of(pid: int) -> int:
    """The first child of a process; 0: none."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else 0


def _hierarchies() -> list[Path]:
    """Of control groups: one of version 2, or one for each controller, with version 2 beside them."""
    if (_CGROUPS / "cgroup.procs").exists():
        return [_CGROUPS]
    return [each for each in _CGROUPS.iterdir() if not each.is_symlink() and (each / "cgroup.procs").exists()]


def _remove_cgroups(folder: Path) -> None:
    """The groups of the node with this state folder, whose processes end with its namespaces."""
    name = folder / "cgroup"
    if not name.exists():
        return
    deadline = time.monotonic() + KUBERNETES_WAIT_S
    for hierarchy in _hierarchies():
        top = hierarchy / name.read_text().lstrip("/")
        groups = sorted((each for each in top.rglob("*") if each.is_dir()), key=lambda each: -len(each.parts))
        for group in [*groups, top]:
            while group.exists() and time.monotonic() < deadline:
                try:
                    group.rmdir()
                except OSError:  # its last process is about to end
                    time.sleep(0.02)
