"""A Kubernetes control plane for tests: etcd, API server, controller manager and scheduler."""

import base64
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pkg.testing.certificates import Authority, KeyPair
from pkg.testing.kubernetes.programs import Program, StateFolder
from pkg.testing.parts import prepared_part
from pkg.testing.ports import free_ports
from pkg.testing.wait import KUBERNETES_WAIT_S, WAIT_S

ASK_TIMEOUT_S = 5.0
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
# A node that is silent for as long is declared NotReady; its Pods are evicted after the second time.
NODE_GRACE_S = 16
EVICTION_AFTER_S = 10
_ADMINISTRATORS = "system:masters"
_ROOT = Path(__file__).parents[3]
_PATH = {"PATH": os.environ["PATH"]}


class KubectlError(Exception):
    """kubectl's own message."""


class FakeNode(Program):
    """A node without a kubelet, see `fake_node.py`."""

    def lose(self) -> None:
        """As when its network is gone: it reports nothing more, does not see what it shall do, and its Pods answer."""
        self.send(signal.SIGUSR1)

    def find(self) -> None:
        """The end of `lose`."""
        self.send(signal.SIGUSR2)


class ControlPlane:
    """One control plane. It runs from `start` to `stop`; what it stores stays when its programs are killed and started.

    Args:
        address: of the API server; the other programs are on loopback.
        parent: folder in which its state is kept.

    Attributes:
        folder: its state and logs.
        url: of the API server, at `address` and `port`.
        authority_file: certificate of who signs all certificates here, PEM.
        kubeconfig: of an administrator.
        etcd, apiserver, controller_manager, scheduler: to be killed, paused and started again.
    """

    def __init__(self, address: str = "127.0.0.1", parent: str = tempfile.gettempdir()) -> None:
        self._bin = prepared_part("kubernetes") / "bin"
        self._tools = prepared_part("kubernetes") / "root" / "usr" / "bin"
        self._state = StateFolder(parent)
        self.folder = self._state.path
        self.address = address
        self.port, etcd_port, peer_port = free_ports(3, address)
        self.url = f"https://{address}:{self.port}"
        self._etcd_url = f"http://127.0.0.1:{etcd_port}"
        self._authority = Authority("authority of kubernetes")
        self.authority_file = self.folder / "ca.crt"
        self.authority_file.write_bytes(self._authority.pem)
        self.kubeconfig = self.kubeconfig_of("admin", _ADMINISTRATORS)
        self.etcd = self._etcd(etcd_port, peer_port)
        self.apiserver = self._apiserver()
        self.controller_manager = self._client_program(
            "kube-controller-manager",
            f"--service-account-private-key-file={self.folder}/apiserver.key",
            f"--root-ca-file={self.authority_file}",
            "--use-service-account-credentials=true",
            "--node-monitor-period=1s",
            f"--node-monitor-grace-period={NODE_GRACE_S}s",
            # Autoscalers look every second, and believe what they see at once.
            "--horizontal-pod-autoscaler-sync-period=1s",
            "--horizontal-pod-autoscaler-downscale-stabilization=2s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
        )
        self.scheduler = self._client_program("kube-scheduler")
        self._nodes: list[FakeNode] = []

    def start(self) -> None:
        """Returns once Pods can be made, after about 10 s. Raises RuntimeError with the end of a log."""
        self.etcd.start()
        self.apiserver.start()
        self.wait_until_ready()
        self.controller_manager.start()
        self.scheduler.start()
        self.controller_manager.wait_for(self._has_service_account, KUBERNETES_WAIT_S)

    def stop(self) -> None:
        """Ends everything and removes its state. Idempotent."""
        for program in (*self._nodes, self.scheduler, self.controller_manager, self.apiserver, self.etcd):
            program.kill()  # nothing of it is kept
        self._state.remove()

    def __enter__(self) -> "ControlPlane":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self) -> None:
        """Returns once the API server answers, as after `apiserver.start()`. Raises RuntimeError."""
        self.apiserver.wait_for(lambda: self._status("/readyz") == 200, KUBERNETES_WAIT_S)

    def add_fake_node(self, name: str = "fake") -> FakeNode:
        """A node that plays the status of Pods, see `fake_node.py`; returns once it is Ready."""
        node = FakeNode(
            f"node-{name}",
            [sys.executable, "-m", "pkg.testing.kubernetes.fake_node", name, str(self.kubeconfig)],
            self.folder,
            {"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._nodes.append(node)
        node.start()
        node.wait_for(lambda: self.is_node_ready(name), KUBERNETES_WAIT_S)
        return node

    def kubeconfig_of(self, user: str, group: str | None = None) -> Path:
        """A configuration with a client certificate of this user; its path. RBAC says what it may do."""
        name = "".join(character if character.isalnum() else "-" for character in user)
        pair = self._authority.issue(user, organization=group)
        return self._write_kubeconfig(
            name,
            {
                "client-certificate-data": base64.b64encode(pair.cert).decode(),
                "client-key-data": base64.b64encode(pair.key).decode(),
            },
        )

    def certificate_of(self, *names: str) -> KeyPair:
        """For a server with these names and addresses."""
        return self._authority.issue(*names)

    def kubeconfig_through(self, url: str) -> Path:
        """An administrator's configuration that goes through a proxy at `url`, whose certificate it does not check."""
        whole = json.loads(self.kubeconfig.read_text())
        whole["clusters"][0]["cluster"] = {"server": url, "insecure-skip-tls-verify": True}
        path = self.folder / f"through-{url.rsplit(':', 1)[1]}.conf"
        path.write_text(json.dumps(whole))
        return path

    def kubectl(self, *words: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Kubectl's output. Raises KubectlError."""
        done = subprocess.run(
            [self._tools / "kubectl", *words], input=stdin, capture_output=True, text=True, check=False,
            timeout=KUBERNETES_WAIT_S + WAIT_S, cwd=self.folder,
            env={**_PATH, "HOME": str(self.folder), "KUBECONFIG": str(kubeconfig or self.kubeconfig)},
        )  # fmt: skip
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, *words: str) -> Any:
        """What `kubectl get` knows, read from its JSON."""
        return json.loads(self.kubectl("get", "-o", "json", *words))

    def read(self, path: str) -> Any:
        """What the API server answers at a path of its API, without a kubectl. Raises RuntimeError."""
        status, body = self._ask(path)
        if status != 200:
            raise RuntimeError(f"the API server answers {status} at {path}: {body.decode(errors='replace')}")
        return json.loads(body)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """`kubectl apply`."""
        whole = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(whole))

    def compact(self) -> None:
        """Restarts the API server without all older versions: a watch from one of them is then 410 Gone."""
        etcdctl = [str(self._tools / "etcdctl"), "--endpoints", self._etcd_url]
        environment = {"ETCDCTL_API": "3", **_PATH}
        asked = [*etcdctl, "endpoint", "status", "-w", "json"]
        status = json.loads(subprocess.run(asked, capture_output=True, check=True, env=environment).stdout)
        revision = str(status[0]["Status"]["header"]["revision"])
        subprocess.run([*etcdctl, "compaction", revision], capture_output=True, check=True, env=environment)
        self.restart_apiserver()

    def restart_apiserver(self) -> None:
        """Kill -9 and a start; returns once it answers again."""
        self.apiserver.kill()
        self.apiserver.start()
        self.wait_until_ready()

    def _etcd(self, port: int, peer_port: int) -> Program:
        peers = f"http://127.0.0.1:{peer_port}"
        return Program(
            "etcd",
            [
                self._tools / "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync",
                "--listen-client-urls", self._etcd_url, "--advertise-client-urls", self._etcd_url,
                "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
                "--initial-cluster", f"default={peers}",
            ],
            self.folder,
            {"ETCD_UNSUPPORTED_ARCH": "arm64"},  # else it does not start there
        )  # fmt: skip

    def _apiserver(self) -> Program:
        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
        serving = self._authority.issue(*names, API_SERVICE_ADDRESS, "127.0.0.1", self.address)
        cert, key = self.folder / "apiserver.pem", self.folder / "apiserver.key"
        serving.write(self.folder, "apiserver")
        admin, admin_key = self._authority.issue("apiserver", organization=_ADMINISTRATORS).write(
            self.folder, "kubelets"
        )
        return Program(
            "kube-apiserver",
            [
                self._bin / "kube-apiserver", f"--etcd-servers={self._etcd_url}",
                f"--bind-address={self.address}", f"--secure-port={self.port}", "--cert-dir=certificates",
                f"--tls-cert-file={cert}", f"--tls-private-key-file={key}", f"--client-ca-file={self.authority_file}",
                # Loopback is refused as an address of the Service `kubernetes`, which only a real node's Pods use.
                "--advertise-address=10.254.0.1", "--endpoint-reconciler-type=none",
                f"--service-cluster-ip-range={SERVICE_NETWORK}",
                f"--kubelet-client-certificate={admin}", f"--kubelet-client-key={admin_key}",
                "--kubelet-preferred-address-types=InternalIP",  # there is no DNS
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={cert}", f"--service-account-signing-key-file={key}",
                "--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false",
                f"--default-not-ready-toleration-seconds={EVICTION_AFTER_S}",
                f"--default-unreachable-toleration-seconds={EVICTION_AFTER_S}",
            ],
            self.folder,
        )  # fmt: skip

    def _client_program(self, name: str, *words: str) -> Program:
        config = self.kubeconfig_of(f"system:{name}")
        # It serves nothing, so that it needs no port.
        quiet = ("--port=0", "--secure-port=0", "--leader-elect=false", "--profiling=false")
        return Program(name, [self._bin / name, f"--kubeconfig={config}", *quiet, *words], self.folder)

    def _write_kubeconfig(self, name: str, user: Mapping[str, str]) -> Path:
        authority = base64.b64encode(self._authority.pem).decode()
        whole = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": "default"}}],
            "current-context": "test",
        }
        path = self.folder / f"{name}.conf"
        path.touch(0o600)
        path.write_text(json.dumps(whole))  # JSON is YAML
        return path

    def _status(self, path: str) -> int:
        """The answer's status; 0: none."""
        return self._ask(path)[0]

    def _ask(self, path: str) -> tuple[int, bytes]:
        trust = ssl.create_default_context(cafile=str(self.authority_file))
        trust.load_cert_chain(self.folder / "kubelets.pem", self.folder / "kubelets.key")
        connection = http.client.HTTPSConnection(self.address, self.port, timeout=ASK_TIMEOUT_S, context=trust)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def _has_service_account(self) -> bool:
        return self._status("/api/v1/namespaces/default/serviceaccounts/default") == 200

    def is_node_ready(self, name: str) -> bool:
        """Whether the API server says so; False when it does not answer."""
        status, body = self._ask(f"/api/v1/nodes/{name}")
        conditions = json.loads(body)["status"].get("conditions", []) if status == 200 else []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
