"""Promise: standbys never block live or new deployments, and a shortage is reported at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.docker.sdk import open_client
from tests.harness import apps
from tests.harness.load import Load
from tests.harness.stack import CliResult, Stack, finish
from tests.harness.wait import eventually

RANGE = "10.231.77.240/28"  # ten instances, one of them kept for live deployments
REPLICAS = 4


@pytest.fixture(scope="module")
def stack(engine_socket: str) -> Iterator[Stack]:
    """A stack with little room."""
    with Stack(engine_socket, address_pool=RANGE) as one:
        yield one


@pytest.fixture
def app(stack: Stack, tmp_path: Path) -> Path:
    """Its directory; each deploy takes four addresses."""
    for name in ("web", "other", "third"):
        assert stack.sealift("projects", "create", name).code == 0
    return apps.app(tmp_path / "app", toml=f"[run]\nreplicas = {REPLICAS}\nmemory_mib = 16\n", unique=False)


def test_a_full_network(stack: Stack, app: Path) -> None:
    """The oldest standby ends for a deploy, no more than it takes; with none left the deploy fails at once and says
    what ran out, while a live instance that is killed comes back. No request is lost in all this."""
    first = ready(deploy(stack, app, "web", "one"))
    with Load(stack.url("web"), rate_per_s=20) as asking:
        second = ready(deploy(stack, app, "web", "two"))
        third = ready(deploy(stack, app, "web", "three"))
        assert run_state(stack, first) in ("stopping", "stopped")
        assert run_state(stack, second) == "standby", "the newer one stays"
        ready(deploy(stack, app, "other", "four"))
        assert run_state(stack, second) in ("stopping", "stopped")
    assert asking.failures == []

    cli = stack.start_cli("deploy", str(app), "--project", "third", "--json")
    query = "SELECT reason FROM instances WHERE waits_for = 'addresses'"
    eventually(lambda: stack.rows(query), what="an instance finds no address")
    removed = stack.containers(third)[0]["Id"]
    with open_client(stack.engine_socket, timeout_s=60) as client:
        client.remove_container(removed, force=True)
    eventually(lambda: removed not in healthy(stack, third) and len(healthy(stack, third)) == REPLICAS,
        what="the live instance is back")  # fmt: skip
    done = finish(cli)
    assert done.code != 0
    assert done.last_json["code"] == "instance.no_address"
    assert "its network holds 10 instances, 9 have an address" in done.last_json["message"]
    assert "`sealift stop DEPLOYMENT`" in done.last_json["message"]
    assert stack.get("web").body == "three"


def deploy(stack: Stack, app: Path, project: str, body: str) -> CliResult:
    """Of another content than before."""
    apps.edit(app, body)
    return stack.deploy(app, project)


def ready(done: CliResult) -> str:
    """The deployment, which is."""
    assert done.code == 0, done.err + done.out
    return str(done.last_json["deployment_id"])


def run_state(stack: Stack, deployment_id: str) -> str:
    """Whether its instances run."""
    return str(stack.rows("SELECT run_state FROM deployments WHERE id = ?", deployment_id)[0][0])


def healthy(stack: Stack, deployment_id: str) -> set[str]:
    """Containers of a deployment whose instances are all healthy; none while one is not."""
    states = stack.rows("SELECT state FROM instances WHERE deployment_id = ?", deployment_id)
    if [state for (state,) in states] != ["healthy"] * REPLICAS:
        return set()
    return {one["Id"] for one in stack.containers(deployment_id) if one["State"] == "running"}
