"""Promise: on a cluster, deploys, their failures and faults go as on a Docker engine, in the same words."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pkg.registry.testing import PULLER, PUSHER, DockerRegistry
from pkg.testing.kubernetes.real_node import Cluster
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from tests.harness import apps
from tests.harness.load import Load
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

NOT_HEALTHY = 5
AWAY_S = 20.0
RATE_PER_S = 50.0


@pytest.fixture(scope="module")
def registry(kubernetes_cluster: Cluster) -> Iterator[DockerRegistry]:
    """With login: the worker pushes with one account, the node pulls with another one."""
    with DockerRegistry(login="basic") as one:
        kubernetes_cluster.node.forward_loopback(one.host)
        yield one


@pytest.fixture(scope="module")
def on_cluster(engine_socket: str, kubernetes_cluster: Cluster, registry: DockerRegistry) -> Iterator[Stack]:
    """A stack whose apps run on the cluster; the engine builds them."""
    toml = (
        f'[runtime]\nbackend = "kubernetes"\n'
        f'[kubernetes]\nkubeconfig = "{kubernetes_cluster.kubeconfig}"\n'
        f'ingress_ranges = ["{kubernetes_cluster.node.host_address}/32"]\n'
        f'[registry]\nurl = "{registry.host}/apps"\npassword = "{PUSHER.password.reveal()}"\n'
        f'[[registries]]\nhost = "{registry.host}"\nusername = "{PULLER.username}"\n'
        f'password = "{PULLER.password.reveal()}"\n'
    )
    with Stack(engine_socket, toml=toml) as one:
        yield one


@pytest.fixture
def app(on_cluster: Stack) -> Iterator[str]:
    """A new project; its Pods leave the node to the next test."""
    slug = new_project(on_cluster)
    yield slug
    deleted = on_cluster.sealift("delete", "project", slug, "--yes")
    assert deleted.code == 0, deleted.err


def new_project(stack: Stack) -> str:
    slug = f"app-{os.urandom(4).hex()}"
    made = stack.sealift("projects", "create", slug)
    assert made.code == 0, made.err
    return slug


def pods(cluster: Cluster, deployment_id: str) -> list[Any]:
    found: list[Any] = cluster.get("pods", "-A", "-l", f"sealift.dev/deployment={deployment_id}")["items"]
    return found


def test_a_deploy_reaches_a_pod(
    on_cluster: Stack, app: str, kubernetes_cluster: Cluster, registry: DockerRegistry, tmp_path: Path
) -> None:
    """Source becomes an image in the registry, and that a Pod by digest, which answers through the ingress."""
    done = on_cluster.deploy(apps.app(tmp_path / "app", "hello from a Pod"), app)
    assert done.code == 0, done.out
    assert on_cluster.get(app).body == "hello from a Pod"
    ident = done.last_json["deployment_id"]
    (pod,) = pods(kubernetes_cluster, ident)
    assert re.fullmatch(rf"{registry.host}/apps/proj-.+@sha256:[0-9a-f]{{64}}", pod["spec"]["containers"][0]["image"])
    assert on_cluster.containers(ident) == []
    assert "live" in on_cluster.sealift("status", ident).out


def test_release_and_one_off_commands(on_cluster: Stack, app: str, kubernetes_cluster: Cluster, tmp_path: Path) -> None:
    """They run as Pods, with the same exit codes; a failed release starts nothing; no Pod of a job is left."""
    directory = apps.app(tmp_path / "app", "one", toml='[release]\ncommand = "echo migrates; sleep 1"\n')
    done = on_cluster.deploy(directory, app)
    assert done.code == 0, done.out
    printed = on_cluster.sealift("logs", done.last_json["deployment_id"], "--grep", "^migrates$")
    assert printed.out.rstrip().endswith("migrates"), printed.err
    run = on_cluster.sealift("run", "--project", app, "--", "sh", "-c", "cat /www/index.html; exit 3")
    assert (run.code, run.out) == (3, "one\n"), run.err
    late = on_cluster.sealift("run", "--timeout", "2s", "--project", app, "--", "sleep", "600")
    assert late.code == 124, late.err
    apps.app(directory, "two", toml='[release]\ncommand = "echo breaks; exit 7"\n')
    failed = on_cluster.deploy(directory, app)
    assert failed.last_json["code"] == "release.command_failed"
    assert "exited with code 7" in failed.last_json["message"]
    assert "breaks" in failed.last_json["message"]
    assert on_cluster.get(app).body == "one"
    assert pods(kubernetes_cluster, failed.last_json["deployment_id"]) == []
    eventually(
        lambda: not kubernetes_cluster.get("pods", "-A", "-l", "sealift.dev/job")["items"],
        within_s=KUBERNETES_WAIT_S,
        what="no Pod of a job is left",
    )


def test_promote_and_rollback(on_cluster: Stack, app: str, kubernetes_cluster: Cluster, tmp_path: Path) -> None:
    """What is promoted answers, and what was before comes back, also after its Pods were removed."""
    directory = apps.app(tmp_path / "app", "one")
    first = on_cluster.deploy(directory, app).last_json["deployment_id"]
    apps.edit(directory, "two")
    second = on_cluster.deploy(directory, app).last_json["deployment_id"]
    assert on_cluster.get(app).body == "two"
    for pod in pods(kubernetes_cluster, first):
        kubernetes_cluster.kubectl(
            "delete", "pod", "-n", pod["metadata"]["namespace"], pod["metadata"]["name"], "--now"
        )
    back = on_cluster.sealift("rollback", "--to", first, "--project", app)
    assert back.code == 0, back.err
    assert on_cluster.get(app).body == "one"
    again = on_cluster.sealift("promote", second)
    assert again.code == 0, again.err
    assert on_cluster.get(app).body == "two"


@pytest.mark.parametrize(
    ("command", "toml"),
    [
        ("echo no database; exit 3", ""),
        (
            "exec /bin/busybox httpd -f -p 8080 -h /www",
            '[run]\nport = 8080\n[run.health_check]\nstart_timeout_s = 6\npath = "/nowhere"\n',
        ),
        (
            "exec /bin/busybox tail /dev/zero",
            "[run]\nmemory_mib = 64\n",
        ),
    ],
    ids=["exits", "unhealthy", "memory"],
)
def test_an_app_fails_in_the_same_words(
    on_cluster: Stack, app: str, stack: Stack, tmp_path: Path, command: str, toml: str
) -> None:
    """Exit code, message and error code are those of a Docker engine; the version before stays live."""
    good = on_cluster.deploy(apps.app(tmp_path / "good", "good"), app)
    assert good.code == 0, good.out
    directory = apps.app(tmp_path / "bad", command=command, toml=toml)
    bad = on_cluster.deploy(directory, app)
    assert on_cluster.get(app).body == "good"
    docker = stack.deploy(directory, new_project(stack))
    assert (bad.code, docker.code) == (NOT_HEALTHY, NOT_HEALTHY)
    assert words(bad.last_json) == words(docker.last_json)


def words(told: dict[str, Any]) -> tuple[str, str, str]:
    """What a user reads, without what differs from deploy to deploy."""
    message = re.sub(r"dep[_-][0-9a-z]+", "DEPLOYMENT", str(told["message"]))
    return str(told["step"]), str(told.get("code")), message


def test_kill_9_of_krane_and_of_the_kubelet(
    on_cluster: Stack, app: str, kubernetes_cluster: Cluster, tmp_path: Path
) -> None:
    """Neither is missed by what is live, and both go on from where they were."""
    directory = apps.app(tmp_path / "app", "one")
    first = on_cluster.deploy(directory, app)
    assert first.code == 0, first.out
    (before,) = pods(kubernetes_cluster, first.last_json["deployment_id"])
    with Load(on_cluster.url(app), rate_per_s=RATE_PER_S) as load:
        kubernetes_cluster.node.kubelet.kill()
        on_cluster.kill("krane")
        answered = load.total
        eventually(lambda: load.total > answered + 5 * RATE_PER_S, within_s=KUBERNETES_WAIT_S, what="5 s without them")
        kubernetes_cluster.node.kubelet.start()
        eventually(on_cluster.is_ready, within_s=KUBERNETES_WAIT_S, what="krane is back")
        apps.edit(directory, "two")
        second = on_cluster.deploy(directory, app)
        assert second.code == 0, second.out
        eventually(lambda: load.bodies["two"], within_s=KUBERNETES_WAIT_S, what="the second version answers")
    assert load.failures == []
    (after,) = pods(kubernetes_cluster, first.last_json["deployment_id"])
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


def test_an_api_server_that_is_away(on_cluster: Stack, app: str, kubernetes_cluster: Cluster, tmp_path: Path) -> None:
    """No request is lost, and a deploy that began meanwhile ends well once it is back."""
    directory = apps.app(tmp_path / "app", "one")
    first = on_cluster.deploy(directory, app)
    assert first.code == 0, first.out
    with Load(on_cluster.url(app), rate_per_s=RATE_PER_S, max_s=AWAY_S + 2 * KUBERNETES_WAIT_S) as load:
        kubernetes_cluster.apiserver.kill()
        until = time.monotonic() + AWAY_S
        try:
            apps.edit(directory, "two")
            deploy = on_cluster.start_cli("deploy", str(directory), "--project", app, "--json")
            eventually(
                lambda: time.monotonic() > until, within_s=AWAY_S + KUBERNETES_WAIT_S, what="the API server was away"
            )
        finally:
            kubernetes_cluster.apiserver.start()
            kubernetes_cluster.wait_until_ready()
        done = finish(deploy, timeout_s=KUBERNETES_WAIT_S)
        assert done.code == 0, done.out
        eventually(lambda: load.bodies["two"], within_s=KUBERNETES_WAIT_S, what="the second version answers")
    assert load.failures == []
    assert load.bodies["one"] > AWAY_S * RATE_PER_S / 2
    assert len(pods(kubernetes_cluster, done.last_json["deployment_id"])) == 1
