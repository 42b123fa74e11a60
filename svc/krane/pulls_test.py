"""What krane runs of images in registries: real ones, with and without login, and a real engine."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import docker
import docker.errors
import pytest
from aiohttp import web

from pkg.builders.testing import BUSYBOX, nonce
from pkg.config import Secret
from pkg.images.config import Images, RegistryLogin
from pkg.registry.auth import Credentials
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry, Login
from pkg.registry.testing_front import faulty_front, refusal
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.run import Timing
from svc.krane.testing import engine
from svc.krane.testing.harness import KraneHarness, name_of

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
SERVE = ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/"]


@dataclass
class Pushed:
    """An image that is in a registry, and not on the engine under that name."""

    name: str
    digest: str
    image_id: str


@dataclass
class Pusher:
    """Makes images of one test on the engine, and pushes them."""

    client: docker.APIClient
    installation_id: str

    def make(self) -> str:
        """An app that no other test has; its image id."""
        lines = ["COPY file /bin/busybox", f"LABEL nonce={nonce()}"]
        return engine.derived_image(self.client, "scratch", lines, self.installation_id, BUSYBOX.read_bytes())

    def push(self, registry: DockerRegistry, image_id: str, tag: str = "1", repository: str = "apps/app") -> Pushed:
        """Pushes it with the account that may."""
        where = f"{registry.host}/{repository}"
        self.client.tag(image_id, where, tag, force=True)
        auth = {"username": PUSHER.username, "password": PUSHER.password.reveal()}
        said = list(self.client.push(where, tag=tag, auth_config=auth, stream=True, decode=True))
        digests = [re.search(r"digest: (sha256:[0-9a-f]{64})", str(message.get("status"))) for message in said]
        digest = next((found[1] for found in digests if found), "")
        assert digest, said
        self.client.remove_image(f"{where}:{tag}")
        return Pushed(f"{where}:{tag}", f"{where}@{digest}", image_id)

    def forget(self, image_id: str) -> None:
        """Takes it from the engine."""
        with contextlib.suppress(docker.errors.ImageNotFound):
            self.client.remove_image(image_id, force=True)


@pytest.fixture
def images(client: docker.APIClient, harness: KraneHarness) -> Pusher:
    return Pusher(client, harness.installation_id)


@pytest.fixture(scope="module", params=["basic", "token"])
def private(request: pytest.FixtureRequest) -> Iterator[DockerRegistry]:
    """One that asks for a login."""
    login: Login = request.param
    with DockerRegistry(login=login) as one:
        yield one


@pytest.fixture(scope="module")
def public() -> Iterator[DockerRegistry]:
    with DockerRegistry() as one:
        yield one


def app(harness: KraneHarness, image_ref: str, start_timeout_s: int = 20, replicas: int = 1) -> pb.Topology:
    """A deployment of an image that its user named."""
    check = {"path": "", "interval_ms": 100, "timeout_ms": 500, "start_timeout_s": start_timeout_s}
    topology = harness.topology(health_check=check, replicas=replicas)
    topology.settings.command.values[:] = SERVE
    topology.image_ref = image_ref
    topology.must_pull = True
    return topology


def login(registry: DockerRegistry, account: Credentials = PULLER) -> RegistryLogin:
    return RegistryLogin(host=registry.host, username=account.username, password=account.password)


async def failed(harness: KraneHarness, topology: pb.Topology) -> tuple[str, str]:
    """The code and the reason of its failure."""
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    return report.code, report.reason


def runs(client: docker.APIClient, topology: pb.Topology, replica: int = 0) -> str:
    """The id of the image that an instance runs."""
    return str(client.inspect_container(name_of(topology, replica))["Image"])


def always(status: int, code: str) -> Callable[[str, str], web.Response]:
    """A registry that answers everything with this error."""
    return lambda method, path: refusal(status, code, "its words")


def never(method: str, path: str) -> None:
    """A registry without a fault."""


def is_told(harness: KraneHarness, topology: pb.Topology, words: str) -> bool:
    """Whether the report of the first instance has these words."""
    report = harness.cluster.instances.get(name_of(topology))
    return report is not None and words in report.reason


async def test_a_private_registry_is_pulled_from_with_the_login_of_krane(
    harness: KraneHarness, client: docker.APIClient, images: Pusher, private: DockerRegistry
) -> None:
    """Promise: by tag, by digest and by both, with basic and token authentication, as one who may only pull."""
    pushed = images.push(private, images.make())
    images.forget(pushed.image_id)
    harness.registries = (login(private),)
    await harness.start_krane()
    for name in (pushed.name, pushed.digest, f"{pushed.name}@{pushed.digest.partition('@')[2]}"):
        topology = app(harness, name)
        await harness.cluster.put(topology)
        await harness.cluster.until_state(name_of(topology), HEALTHY)
        assert runs(client, topology) == pushed.image_id


async def test_a_missing_or_wrong_login_is_named(
    harness: KraneHarness, images: Pusher, private: DockerRegistry
) -> None:
    """Promise: a registry that asks for a login is no image that does not exist; the next step names the setting, and
    no message has the password. A login of another registry is not sent to it."""
    pushed = images.push(private, images.make())
    other = RegistryLogin(host="127.0.0.1:9", username=PULLER.username, password=PULLER.password)
    harness.registries = (other,)
    await harness.start_krane()
    code, reason = await failed(harness, app(harness, pushed.name))
    assert code in ("instance.registry_unauthorized", "instance.image_not_found")
    assert "401" in reason
    assert f'[[registries]] with host = "{private.host}"' in reason
    await harness.stop_krane()
    harness.registries = (login(private, Credentials(PULLER.username, Secret("wrong-secret"))),)
    await harness.start_krane()
    code, reason = await failed(harness, app(harness, pushed.name))
    assert code == "instance.registry_unauthorized"
    assert "does not accept the login of 'puller' (401)" in reason
    assert "secret" not in reason


async def test_a_local_copy_runs_only_when_the_registry_has_it_or_the_operator_allows_it(
    harness: KraneHarness, client: docker.APIClient, images: Pusher, public: DockerRegistry
) -> None:
    """Promise: an image that is on the engine alone is refused, also under the name of an image of a registry, whose
    own content runs instead; the operator's list is the exception."""
    pushed, impostor = images.push(public, images.make()), images.make()
    where = pushed.name.rpartition(":")[0]
    client.tag(impostor, where, "1", force=True)
    client.tag(impostor, where, "only-here", force=True)
    await harness.start_krane()
    first = app(harness, pushed.name)
    await harness.cluster.put(first)
    await harness.cluster.until_state(name_of(first), HEALTHY)
    assert runs(client, first) == pushed.image_id
    assert (await failed(harness, app(harness, f"{where}:only-here")))[0] == "instance.image_not_found"
    await harness.stop_krane()
    harness.images = Images(allow_local=(f"{where}:only-*",))
    await harness.start_krane()
    allowed = app(harness, f"{where}:only-here")
    await harness.cluster.put(allowed)
    await harness.cluster.until_state(name_of(allowed), HEALTHY)
    assert runs(client, allowed) == impostor


async def test_a_build_is_pulled_by_its_digest_when_it_is_absent(
    harness: KraneHarness, client: docker.APIClient, images: Pusher
) -> None:
    """Promise: what was built is named by its digest, whatever its tag means by then; once it is on the engine it runs
    also while the registry is away."""
    with DockerRegistry(login="basic") as registry:
        pushed = images.push(registry, images.make())
        images.forget(pushed.image_id)
        images.push(registry, images.make())  # its tag is another image's now
        harness.registries = (login(registry),)
        await harness.start_krane()
        for is_away in (False, True):
            if is_away:
                registry.stop()
            topology = app(harness, pushed.digest)
            topology.must_pull = False
            await harness.cluster.put(topology)
            await harness.cluster.until_state(name_of(topology), HEALTHY)
            assert runs(client, topology) == pushed.image_id


async def test_all_instances_run_what_was_pulled_first(
    harness: KraneHarness, client: docker.APIClient, images: Pusher
) -> None:
    """Promise: a replica that is made later, also by a krane that was restarted while the registry is away, runs the
    image of the others, whatever its tag means by then."""
    with DockerRegistry() as registry:
        pushed = images.push(registry, images.make())
        await harness.start_krane()
        topology = app(harness, pushed.name, replicas=2)
        await harness.cluster.put(topology)
        for replica in range(2):
            await harness.cluster.until_state(name_of(topology, replica), HEALTHY)
        client.tag(images.make(), pushed.name.rpartition(":")[0], "1", force=True)
        uid = client.inspect_container(name_of(topology, 1))["Id"]
        await harness.stop_krane()
        registry.stop()
        client.remove_container(uid, force=True)
        harness.cluster.instances.clear()
        await harness.start_krane()
        await harness.cluster.until_state(name_of(topology, 1), HEALTHY)
        assert runs(client, topology, 0) == runs(client, topology, 1) == pushed.image_id


async def test_a_registry_that_comes_back_within_the_start_timeout_fails_nothing(
    harness: KraneHarness, images: Pusher, public: DockerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a rate limit, a fault and an absence are tried again within the start's time, each told meanwhile; what
    lasts longer fails with its own code."""
    monkeypatch.setattr("svc.krane.runtime.docker.pulls.RETRY_S", (0.2, 0.5))
    pushed = images.push(public, images.make())
    async with faulty_front(public.host) as front:
        harness.timing = Timing(stop_grace_s=1)
        await harness.start_krane()
        reference = pushed.name.replace(public.host, front.host)
        for status, code, words in ((429, "TOOMANYREQUESTS", "(429)"), (503, "UNAVAILABLE", "(5xx)")):
            front.fault = always(status, code)
            topology = app(harness, reference)
            await harness.cluster.put(topology)
            await harness.cluster.until(partial(is_told, harness, topology, words))
            front.fault = never
            await harness.cluster.until_state(name_of(topology), HEALTHY)
        front.fault = always(503, "UNAVAILABLE")
        failing = await failed(harness, app(harness, reference, start_timeout_s=1))
        assert failing[0] == "instance.registry_error"
        assert "not started within 1 s" in failing[1]
    away = await failed(harness, app(harness, "127.0.0.1:9/nobody/nothing:1", start_timeout_s=1))
    assert away[0] == "instance.registry_unreachable"


async def test_a_registry_that_repeats_the_login(harness: KraneHarness, public: DockerRegistry) -> None:
    """Promise: a password that a registry says back is not in the reason of the failure, which every project reads."""
    async with faulty_front(public.host) as front:
        account = RegistryLogin(host=front.host, username="puller", password=Secret("hunter2-of-the-operator"))
        harness.registries = (account,)
        front.fault = lambda method, path: refusal(403, "DENIED", "puller:hunter2-of-the-operator may not pull")
        await harness.start_krane()
        _, said = await failed(harness, app(harness, f"{front.host}/apps/app:1"))
    assert "hunter2" not in said
    assert "may not pull" in said
