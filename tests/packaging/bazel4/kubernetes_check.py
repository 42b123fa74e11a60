"""Sealift itself on a real Kubernetes, from the images that Bazel 4 built. Collected by `dev/bazel/bazel4.sh` only.

The overlay is dev/k8s/overlays/local. `fitted` lists what is different here: the cluster has no DNS, no storage class
and an old policy API, and nothing can be pulled, so that BuildKit and the registry run beside the node.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from dev.k8s import installation_secrets
from dev.k8s.rendering import NAMESPACE, OVERLAYS, Manifest, pod_specs, render
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.registry.testing import DockerRegistry
from pkg.testing.kubernetes.real_node import Cluster
from pkg.testing.parts import prepared_part
from tests.harness import apps
from tests.harness.buildkitd import on_unix_socket
from tests.harness.http import get
from tests.harness.load import Load
from tests.harness.wait import eventually
from tests.packaging.repository import IMAGES, ROOT

WORK = Path(os.environ.get("SEALIFT_BAZEL4", "/nonexistent"))
USER = 65532
ADDRESSES = {"sealift-api": "10.96.0.21", "sealift-restate": "10.96.0.22", "sealift-worker": "10.96.0.23"}
NODE_PORTS = {"grpc": 30400, "http": 30401, "ingress": 30480}
WORKLOADS = ("statefulset/sealift-restate", "deployment/sealift-api", "deployment/sealift-worker")
READ_REPLICA = ("/opt/python/bin/python3", "-c", "print(open('/var/lib/sealift/krane/replica').read())")
FORWARD = """
import asyncio, sys
async def pipe(reader, writer):
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    writer.close()
async def connected(reader, writer):
    other_reader, other_writer = await asyncio.open_connection(sys.argv[2], int(sys.argv[1]))
    await asyncio.gather(pipe(reader, other_writer), pipe(other_reader, writer))
async def main():
    server = await asyncio.start_server(connected, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""


class Installation:
    """Sealift on a cluster of its own, until `stop`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp", prefix="slt-k8s-")))
        self.folder.chmod(0o755)
        self.overlay = self.folder / "overlay"
        self.cluster = Cluster()
        self._stack.callback(self.cluster.stop)
        self.ports = {name: free_port() for name in ("grpc", "http", "ingress")}

    def start(self) -> None:
        """Returns once api, worker and krane are ready."""
        registry = self._stack.enter_context(DockerRegistry())
        builder = self.folder / "buildkit"
        builder.mkdir()
        self._stack.enter_context(on_unix_socket(BuildkitDaemon(), builder / "buildkitd.sock"))
        self.cluster.start()
        self.cluster.node.forward_loopback(registry.host)
        for image in IMAGES:
            self._load(image)
        tools = prepared_part("kubernetes") / "root/usr/bin"
        os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
        os.environ["KUBECONFIG"] = str(self.cluster.kubeconfig)
        assert installation_secrets.main([str(OVERLAYS / "local")]) == 0
        self.overlay.mkdir()
        objects = self.fitted(render(OVERLAYS / "local"), registry.host, builder)
        # JSON is YAML, and taken as such after the first line
        (self.overlay / "objects.yaml").write_text("".join(f"---\n{json.dumps(one)}\n" for one in objects))
        (self.overlay / "kustomization.yaml").write_text("resources:\n  - objects.yaml\n")
        self.cluster.kubectl("apply", "-k", str(self.overlay))
        self.kubectl("wait", "--for=condition=complete", "job/sealift-migrate", "--timeout=120s")
        for workload in (*WORKLOADS, "deployment/sealift-krane"):
            self.kubectl("rollout", "status", workload, "--timeout=180s")
        for name, port in self.ports.items():
            self._forward(port, NODE_PORTS[name])
        eventually(lambda: self.sealift("projects").returncode == 0, within_s=90, what="the command line reaches it")

    def stop(self) -> None:
        """Ends everything."""
        self._stack.close()

    def kubectl(self, *words: str) -> str:
        """In the namespace of the installation."""
        return self.cluster.kubectl("-n", NAMESPACE, *words)

    def fitted(self, manifests: list[Manifest], registry: str, builder: Path) -> list[Manifest]:
        """The overlay, and what this cluster lacks."""
        aliases = [{"ip": address, "hostnames": [name]} for name, address in ADDRESSES.items()]
        port = registry.rpartition(":")[2]
        for manifest in manifests:
            name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
            if manifest["kind"] == "Service":
                spec |= {"clusterIP": ADDRESSES[name]} if name in ADDRESSES else {}
                for port_spec in spec["ports"] if name in ("sealift-api", "sealift-ingress") else ():
                    spec["type"] = "NodePort"
                    own = "ingress" if name == "sealift-ingress" else port_spec["name"]
                    port_spec["nodePort"] = NODE_PORTS[own]
            elif manifest["kind"] == "PodDisruptionBudget":
                manifest["apiVersion"] = "policy/v1beta1"
            elif manifest["kind"] == "PersistentVolumeClaim":
                spec |= {"storageClassName": "", "volumeName": "state"}
            elif manifest["kind"] == "StatefulSet":
                spec["volumeClaimTemplates"][0]["spec"] |= {"storageClassName": "", "volumeName": "restate"}
            elif manifest["kind"] == "ConfigMap":
                manifest["data"] = {key: self._configured(text, registry) for key, text in manifest["data"].items()}
        for name, pod in pod_specs(manifests):
            pod["hostAliases"] = aliases
            pod["containers"] = [one for one in pod["containers"] if one["name"] not in ("buildkitd", "registry")]
            if name in ("sealift-worker", "sealift-krane"):
                pod["containers"].append(self._forwarder(pod["containers"][0], port))
            pod["volumes"] = [one for one in pod["volumes"] if one["name"] != "buildkit-cache"]
            for volume in pod["volumes"]:
                if volume["name"] == "buildkit-socket":
                    del volume["emptyDir"]
                    volume["hostPath"] = {"path": str(builder)}
        volumes = [self._volume(name, claim) for name, claim in (
            ("state", "sealift-state"), ("restate", "data-sealift-restate-0"))]  # fmt: skip
        return [*volumes, *manifests]

    def _configured(self, text: str, registry: str) -> str:
        text = text.replace("localhost:5000", registry).replace("port = 7480", f"port = {self.ports['ingress']}")
        return text.replace("http://127.0.0.1:7401", f"http://127.0.0.1:{self.ports['http']}")

    def _forwarder(self, like: Manifest, port: str) -> Manifest:
        """The registry in the Pod: one that runs beside the node, under the same name."""
        return {
            "name": "registry", "image": "sealift/api:dev", "imagePullPolicy": "IfNotPresent",
            "command": ["/opt/python/bin/python3", "-c", FORWARD, port, self.cluster.node.host_address],
            "securityContext": like["securityContext"],
        }  # fmt: skip

    def _volume(self, name: str, claim: str) -> Manifest:
        path = self.folder / name
        path.mkdir()
        os.chown(path, USER, USER)
        return {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                "claimRef": {"namespace": NAMESPACE, "name": claim}, "hostPath": {"path": str(path)},
            },
        }  # fmt: skip

    def _load(self, image: str) -> None:
        layout = WORK / "tree/bazel-bin/build" / image / "image_linux_amd64"
        archive, name = self.folder / f"{image}.tar", f"sealift/{image.replace('_', '-')}:dev"
        command = ["skopeo", "copy", "-q", "--insecure-policy", f"oci:{layout}", f"docker-archive:{archive}:{name}"]
        subprocess.run(command, check=True, timeout=120)
        with archive.open("rb") as file:
            self.cluster.node.load_archive(file)
        archive.unlink()

    def _forward(self, port: int, node_port: int) -> None:
        """A port of loopback, as kubectl would forward it; that one breaks with the kubelet."""
        target = f"{self.cluster.node.address}:{node_port}"
        command = [sys.executable, "-m", "pkg.testing.kubernetes.forward", f"127.0.0.1:{port}", target]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(process.wait, 10)
        self._stack.callback(process.kill)

    def script(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One of dev/k8s, from a copy whose Jobs need no DNS."""
        copy = self.folder / "dev/k8s"
        if not copy.exists():
            shutil.copytree(OVERLAYS.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
            for job in (copy / "jobs").iterdir():
                job.write_text(job.read_text().replace("//sealift-api:", f"//{ADDRESSES['sealift-api']}:"))
            for name in ("dev/lib.sh", ".venv"):
                (self.folder / name).symlink_to(ROOT / name)
        env = {**os.environ, "SEALIFT_URL": f"http://127.0.0.1:{self.ports['grpc']}", **environment}
        return subprocess.run(words, env=env, cwd=self.folder, capture_output=True, text=True, timeout=500, check=False)

    def sealift(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line."""
        key = json.loads(self.kubectl("get", "secret", "sealift-admin-key", "-o", "json"))["data"]["admin.key"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("SEALIFT_")}
        env |= {
            "SEALIFT_URL": f"http://127.0.0.1:{self.ports['grpc']}",
            "SEALIFT_API_KEY": base64.b64decode(key).decode().strip(),
            "PYTHONPATH": str(ROOT),
        }
        command = ["timeout", "-s", "INT", "180", sys.executable, "-m", "sealift.cli.main", *words]
        return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)

    def pods(self, name: str) -> list[Manifest]:
        """Those of a workload that are not ending."""
        items = self.cluster.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={name}")["items"]
        return [one for one in items if "deletionTimestamp" not in one["metadata"]]

    def leader(self) -> str:
        """Name of the Pod whose krane leads."""
        leases = self.cluster.get("leases", "-n", NAMESPACE)["items"]
        (holder,) = [one["spec"]["holderIdentity"] for one in leases if not one["metadata"]["name"].endswith("contact")]
        for pod in self.pods("krane"):
            name: str = pod["metadata"]["name"]
            if self.kubectl("exec", name, "-c", "krane", "--", *READ_REPLICA).strip() == holder:
                return name
        raise AssertionError(f"no Pod of krane is {holder}")

    def kill(self, pod: Manifest, module: str) -> None:
        """Kill -9 of a process of the Pod, by what it runs."""
        group = f"pod{pod['metadata']['uid']}"
        killed = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if module.encode() in words and group in (process / "cgroup").read_text():
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
        assert killed, f"no process {module} in {pod['metadata']['name']}"

    def is_ready(self) -> bool:
        """Whether each container of each Pod is."""
        pods = [one for name in ("restate", "api", "worker", "krane") for one in self.pods(name)]
        states = [
            state["ready"] for pod in pods for state in pod["status"].get("containerStatuses", [{"ready": False}])
        ]
        return len(pods) == 5 and all(states)

    def logs(self) -> str:
        """What is told when something goes wrong."""
        parts = []
        for workload in ("restate", "api", "worker", "krane"):
            words = ("logs", "-l", f"app.kubernetes.io/name={workload}", "--all-containers", "--tail=20", "--prefix")
            parts.append(self.kubectl(*words))
        return self.cluster.kubectl("get", "pods,events", "-A") + "\n".join(parts)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    one = Installation()
    try:
        one.start()
        yield one
    finally:
        one.stop()


def deploy(installation: Installation, directory: Path) -> str:
    """The URL of what is live then."""
    done = installation.sealift("deploy", str(directory), "--project", "hello", "--json")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:] + installation.logs()
    last: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    url: str = last["url"]
    return url


@pytest.mark.timeout(900)
def test_sealift_runs_on_kubernetes(installation: Installation, tmp_path: Path) -> None:
    """Promise: the local overlay is an installation: a deploy builds, becomes a Pod, and answers by the ingress."""
    assert installation.sealift("projects", "create", "hello").returncode == 0
    answer = get(deploy(installation, apps.app(tmp_path / "app", "one")))
    assert (answer.status, answer.body) == (200, "one")


@pytest.mark.timeout(600)
def test_no_fault_loses_a_request_or_a_deploy(installation: Installation, tmp_path: Path) -> None:
    """Promise: while the kubelet, api, worker and the leader are killed in a deploy, the other ingress answers all."""
    installation.sealift("projects", "create", "hello")
    directory = apps.app(tmp_path / "app", "one")
    url = deploy(installation, directory)
    apps.edit(directory, "two")
    leader = installation.leader()
    (other,) = [pod for pod in installation.pods("krane") if pod["metadata"]["name"] != leader]
    failed: list[BaseException] = []

    def deploys() -> None:
        try:
            deploy(installation, directory)
        except BaseException as error:
            failed.append(error)

    with Load(url, rate_per_s=50, max_s=240, at=(other["status"]["podIP"], 7480)) as load:
        thread = threading.Thread(target=deploys)
        thread.start()
        eventually(lambda: load.total > 50, within_s=30, what="requests are answered")
        installation.cluster.node.kubelet.kill()
        installation.cluster.node.kubelet.start()
        installation.kill(installation.pods("worker")[0], "build.worker.main")
        installation.kubectl("delete", "pod", leader, "--force", "--grace-period=0")
        thread.join(200)
        eventually(lambda: load.bodies["two"] > 0, within_s=60, what="the other ingress has switched")
    assert load.failures == []
    assert set(load.bodies) == {"one", "two"}
    eventually(installation.is_ready, within_s=120, what="every Pod is ready again")
    with Load(url, rate_per_s=50, max_s=120, at=(other["status"]["podIP"], 7480)) as load:
        installation.kill(installation.pods("api")[0], "build.api.main")
        installation.kill(other, "build.krane.main")
        eventually(lambda: load.total > 300, within_s=60, what="requests are answered")
    assert load.failures == []
    eventually(installation.is_ready, within_s=120, what="every Pod is ready again")


@pytest.mark.timeout(600)
def test_an_upgrade_holds_work_back_and_lets_it_go(installation: Installation, tmp_path: Path) -> None:
    """Promise: upgrade.sh drains, applies, migrates and resumes; what is deployed afterwards is live; it may repeat."""
    done = installation.script("dev/k8s/upgrade.sh", str(installation.overlay))
    assert done.returncode == 0, done.stderr[-3000:] + installation.logs()
    assert "Quiet. Drain drain_" in done.stderr
    assert "The database has the schema of this version." in done.stderr
    assert "what was recorded starts" in done.stderr
    app = str(apps.app(tmp_path / "app", "after"))
    checked = installation.script("dev/k8s/check.sh", SEALIFT_CHECK_DIRECTORY=app)
    assert (checked.returncode, checked.stdout.strip()) == (0, "after"), checked.stderr[-3000:]
    again = installation.script("dev/k8s/upgrade.sh", "--resume")
    assert again.returncode == 0, again.stderr[-3000:]
