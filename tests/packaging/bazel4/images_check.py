"""The images that Bazel 4 built: what is in them, and that they run. Collected by `dev/bazel/bazel4.sh` only."""

import ast
import json
import os
import re
import shutil
import statistics
import subprocess
import tarfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.harness.wait import eventually
from tests.packaging.bazel4.layers import ARCHES, built, document, layers
from tests.packaging.repository import ROOT, SERVICES

WORK = Path(os.environ.get("SEALIFT_BAZEL4", "/nonexistent"))
PYTHON = "/opt/python/bin/python3"
REGISTRY = "http://127.0.0.1:5917"
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
HEALTH = {"api": "7401/health/live", "worker": "7403/health/live", "krane": "7404/health/live"}
STARTS = 5  # of each service, for the figure
BYTECODE = """
import argparse, importlib.util, pathlib
import build.util.run, msgspec
heads = [pathlib.Path(m.__cached__).read_bytes()[:8] for m in (argparse, msgspec, build.util.run)]
print(heads.count(importlib.util.MAGIC_NUMBER + bytes([1, 0, 0, 0])))
"""
HANDSHAKE = """
import socket, ssl, threading
server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server.load_cert_chain("/tls/server.crt", "/tls/server.key")
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    with server.wrap_socket(listener.accept()[0], server_side=True) as one:
        one.send(b"hello")
threading.Thread(target=serve, daemon=True).start()
client = ssl.create_default_context()
with client.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="localhost") as one:
    assert one.recv(5) == b"hello"
print(client.cert_store_stats()["x509_ca"])
"""


def revision() -> str:
    """The commit that was built: others may have come since."""
    command = ["git", "-C", str(WORK / "tree"), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def layout(service: str, arch: str = "") -> Path:
    return WORK / "tree/bazel-bin/build" / service / ("image" + (f"_linux_{arch}" if arch else ""))


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=check)


def run(service: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return docker("run", "--rm", "--network", "none", "--label", "sealift.test=bazel4", *HARDENED, *options,
                  f"sealift/{service}:dev", *arguments, check=False)  # fmt: skip


def imports(name: str) -> set[str]:
    """The modules of ours that a file takes something from."""
    nodes = ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8")))
    found = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {module for module in found if module.split(".")[0] in ("build", "pkg", "sealift", "svc")}


def bytecode_of(name: str) -> str:
    folder, _, module = name.rpartition("/")
    return f"{folder}/__pycache__/{module.removesuffix('.py')}.cpython-311.pyc"


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_its_own_service_only(service: str, arch: str) -> None:
    """Promise: no other service, no test, no command line, no supervisor; every module's imports are there."""
    names = frozenset[str]().union(*(layer.names for layer in layers(layout(service, arch))))
    modules = {name for name in names if not name.endswith(".pyc")}
    own = {name.removeprefix("app/src/") for name in modules if name.startswith("app/src/")}
    assert {name.split("/")[1] for name in own if name.startswith("svc/") and name.count("/") > 1} == {service}
    assert {name.split("/")[1] for name in own if name.startswith("build/") and name.count("/") > 1} == {
        service,
        "util",
    }
    assert {name.split("/")[1] for name in own if name.startswith("sealift/") and name.count("/") > 1} <= {
        "ctrl",
        "workflow",
    }
    assert [name for name in own if name.endswith(("_test.py", "conftest.py")) or "testing" in name] == []
    packed = {name for name in modules if name.endswith(".py") and name.startswith(("app/", "opt/python/"))}
    assert {bytecode_of(name) for name in packed} == names - modules
    assert {name.split("/")[0] for name in own} == {"build", "pkg", "sealift", "svc"}
    assert [name for name in names if re.search(r"(^|/)bin/(ba|da)?sh$", name)] == []
    has_envoy = "app/site-packages/envoy/_bin/envoy" in names
    assert has_envoy == (service == "krane")
    assert ("svc/krane/ingress/xds.binpb" in own) == (service == "krane")
    assert any(name.startswith("pkg/db/migrations/versions/m0001") for name in own) == (service != "krane")
    missing = [f"{name} imports {wanted}" for name in own if name.endswith(".py") for wanted in imports(name)
               if not {f"{wanted.replace('.', '/')}.py", f"{wanted.replace('.', '/')}/__init__.py"} & own]  # fmt: skip
    assert missing == []


@pytest.mark.parametrize("service", SERVICES)
def test_services_share_what_they_have_in_common(service: str) -> None:
    """Promise: interpreter and heavy wheels are sent once for all services; no layer is there twice."""
    image = built(WORK / "tree")[f"{service} amd64"]
    other = built(WORK / "tree")["api amd64"]
    assert len(image) == len(layers(layout(service, "amd64")))
    for kind in ("base", "interpreter", "grpc", "cryptography"):
        assert image[kind] == other[kind]


@pytest.mark.parametrize("service", SERVICES)
def test_the_index_is_complete(service: str) -> None:
    """Promise: both architectures, annotated, in the registry under the version and nothing else."""
    name = service.replace("_", "-")
    with urllib.request.urlopen(f"{REGISTRY}/v2/sealift/{name}/tags/list", timeout=5) as answer:
        assert json.load(answer)["tags"] == ["v0.0.1"]
    accept = {"Accept": "application/vnd.oci.image.index.v1+json"}
    request = urllib.request.Request(f"{REGISTRY}/v2/sealift/{name}/manifests/v0.0.1", headers=accept)
    with urllib.request.urlopen(request, timeout=5) as answer:
        index: dict[str, Any] = json.load(answer)
    assert [(each["platform"]["os"], each["platform"]["architecture"]) for each in index["manifests"]] == [
        ("linux", "amd64"),
        ("linux", "arm64"),
    ]
    assert index["annotations"]["org.opencontainers.image.version"] == "v0.0.1"
    assert index["annotations"]["org.opencontainers.image.revision"] == revision()
    assert index["annotations"]["org.opencontainers.image.title"] == f"sealift {name}"


@pytest.mark.parametrize("service", SERVICES)
def test_it_runs_as_nobody_with_a_read_only_root(service: str) -> None:
    """Promise: no root, no shell, nothing written, no network; it says which version it is."""
    done = run(service, "--version")
    assert done.stdout.startswith(f"sealift {service} v0.0.1 (revision {revision()}, built 20"), done.stderr
    image: dict[str, Any] = json.loads(docker("image", "inspect", f"sealift/{service}:dev").stdout)[0]
    assert image["Config"]["User"] == "65532:65532"
    assert image["Config"]["Labels"]["org.opencontainers.image.version"] == "v0.0.1"
    shell = docker("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", f"sealift/{service}:dev", check=False)
    assert shell.returncode == 127


def test_the_workflow_engine_runs_from_its_image() -> None:
    """Promise: Restate of the locked version, as nobody, read-only, without network or shell; its layer is only it."""
    pinned = set(json.loads((ROOT / "package.json").read_text())["optionalDependencies"].values())
    done = run("restate", "--version")
    assert {done.stdout.strip()} == {f"restate-server {version}" for version in pinned}, done.stderr
    image: dict[str, Any] = json.loads(docker("image", "inspect", "sealift/restate:dev").stdout)[0]
    assert image["Config"]["User"] == "65532:65532"
    for arch in ARCHES:
        base, program = layers(layout("restate", arch))
        assert base.digest == layers(layout("api", arch))[0].digest
        assert program.names == {"usr/local/bin/restate-server"}
    shell = docker("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", "sealift/restate:dev", check=False)
    assert shell.returncode == 127


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_compiled_at_the_start(service: str) -> None:
    """Promise: the interpreter of the image uses the bytecode next to each module: its own, of wheels, and ours."""
    done = run(service, "-s", "-P", "-c", BYTECODE, options=("--entrypoint", PYTHON))
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_it_speaks_tls_with_its_own_authorities(service: str) -> None:
    """Promise: a server is believed by the bundle of the image, without any setting."""
    options = ("-v", f"{WORK}/tls:/tls:ro", "--entrypoint", PYTHON)
    done = run(service, "-c", HANDSHAKE, options=options)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The examples of configuration, and keys that the user of the image owns."""
    for name in SERVICES:
        text = (ROOT / "dev/config" / f"{name}.toml").read_text()
        (tmp_path / f"{name}.toml").write_text(text.replace("# [metrics]\n# listen", "[metrics]\nlisten"))
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    for name in ("urls.key", "master.key"):
        (secrets / name).write_bytes(os.urandom(32))
    for name in ("admin.key", "krane.key"):
        (secrets / name).write_text("slk_" + uuid.uuid4().hex + uuid.uuid4().hex)
    for path in [secrets, *secrets.iterdir()]:
        os.chown(path, 65532, 65532)
        path.chmod(0o700 if path.is_dir() else 0o600)
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("service", SERVICES)
def test_it_lives(service: str, state: Path) -> None:
    """Promise: a service starts from its image with the example configuration and says that it lives."""
    name = f"sealift-bazel4-{service}-{uuid.uuid4().hex[:6]}"
    docker("create", "--name", name, "--network", "none", "--label", "sealift.test=bazel4", *HARDENED,
           "--tmpfs", "/tmp", "--tmpfs", "/var/lib/sealift:uid=65532,gid=65532,mode=0700",
           "--tmpfs", "/var/lib/sealift/run:uid=65532,gid=65532,mode=0700",
           "-v", f"{state}/secrets:/var/lib/sealift/secrets",
           "-v", f"{state}/{service}.toml:/etc/sealift/sealift.toml:ro", f"sealift/{service}:dev")  # fmt: skip
    took_s = []
    try:
        for _ in range(STARTS):
            took_s.append(until_it_lives(name, f"http://127.0.0.1:{HEALTH[service]}"))
            docker("stop", "-t", "30", name)
            code = docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip()
            assert code == "0", docker("logs", name).stderr[-3000:]
    finally:
        docker("rm", "-f", "-v", name, check=False)
    (WORK / f"{service}.healthy").write_text(f"{statistics.median(took_s):.2f}")


def until_it_lives(name: str, url: str) -> float:
    """Starts a container that was made; seconds until it answers, polled every 20 ms in its own network."""
    began = time.monotonic()
    docker("start", name)
    pid = docker("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    ask = ["nsenter", "-t", pid, "-n", "curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", url]

    def alive() -> bool:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False)
        running = done.stdout == "200" or docker("inspect", "-f", "{{.State.Running}}", name).stdout.strip() == "true"
        assert running, docker("logs", name).stderr[-3000:]
        return done.stdout == "200"

    eventually(alive, within_s=40, what=f"{name} answers {url}")
    return time.monotonic() - began


def test_envoy_runs_from_the_image_of_krane() -> None:
    """Promise: what the ingress needs is in the image, and may be executed."""
    done = run("krane", "--version", options=("--entrypoint", "/app/site-packages/envoy/_bin/envoy"))
    assert "1.40" in done.stdout, done.stderr
    module = run("krane", "-s", "-P", "-m", "build.krane.envoy", options=("--entrypoint", PYTHON))
    assert (module.returncode, "sealift.toml" in module.stderr) == (2, True)


@pytest.mark.parametrize("service", SERVICES)
def test_the_other_architecture_runs(service: str, tmp_path: Path) -> None:
    """Promise: the arm64 image holds arm64 code that imports and starts: the same answer, by an emulated processor."""
    image = layout(service, "arm64")
    manifest = document(image, json.loads((image / "index.json").read_bytes())["manifests"][0]["digest"])
    for layer in manifest["layers"]:
        with tarfile.open(image / "blobs" / layer["digest"].replace(":", "/")) as archive:
            archive.extractall(tmp_path)  # our own; Debian 12's Python knows no filter yet
    config = document(image, manifest["config"]["digest"])["config"]
    shutil.copy("/usr/bin/qemu-aarch64-static", tmp_path / "qemu")
    (tmp_path / "dev").mkdir(exist_ok=True)
    for device in ("null", "urandom"):
        subprocess.run(
            ["mknod", "-m", "666", tmp_path / "dev" / device, "c", "1", {"null": "3", "urandom": "9"}[device]],
            check=True,
        )
    env = dict(entry.split("=", 1) for entry in config["Env"])
    command = ["chroot", tmp_path, "/qemu", *config["Entrypoint"], "--version"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith(f"sealift {service} "), done.stderr


def test_report() -> None:
    """The figures, printed: MiB a layer, as sent, KiB sent after a change of one line, seconds to healthy."""
    sizes = built(WORK / "tree")
    changed: dict[str, dict[str, int]] = json.loads((WORK / "changed.json").read_text())
    kinds = list(dict.fromkeys(kind for image in sizes.values() for kind in image))
    rows = [["MiB", "all", *kinds, "one line", "to healthy"]]
    for image, found in sizes.items():
        parts = [f"{found[kind][1] / 2**20:.1f}" if kind in found else "" for kind in kinds]
        whole = f"{sum(size for _, size in found.values()) / 2**20:.1f}"
        started = WORK / f"{image.split()[0]}.healthy"
        took = f"{started.read_text()} s" if image.endswith("amd64") else ""
        rows.append([image, whole, *parts, f"{sum(changed[image].values()) / 2**10:.0f} KiB", took])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        print("  ".join(f"{cell:{'<' if at == 0 else '>'}{widths[at]}}" for at, cell in enumerate(row)))
    times: dict[str, int] = json.loads((WORK / "times.json").read_text())
    print(f"build of all from nothing {times['clean_build_s']} s, after a change of one line {times['one_line_s']} s")
    print(f"to healthy: from the start of the container, median of {STARTS}")
