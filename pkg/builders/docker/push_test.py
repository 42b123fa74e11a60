"""Builds on a real engine, pushed to a real registry, and to one that fails as registries do."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from socket import AF_INET

import psutil
import pytest
from aiohttp import web

from pkg.builders.contract import BuilderContract, spec
from pkg.builders.docker import push
from pkg.builders.docker.config import DockerConfig
from pkg.builders.port import Builder
from pkg.builders.testing import MemorySink, engine_socket, nonce
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.config import Secret
from pkg.images import ImageRef
from pkg.output.redact import Redactor
from pkg.registry import Credentials, RegistryConfig
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry, Login, put_image
from pkg.registry.testing_front import FaultyFront, faulty_front, refusal
from pkg.storage.port import ObjectStore
from pkg.telemetry.events import StepState
from pkg.testing.wait import WAIT_S

Open = Callable[..., Builder]


@pytest.fixture(scope="module")
def registry() -> Iterator[DockerRegistry]:
    with DockerRegistry(login="token") as one:
        yield one


@pytest.fixture
def open_builder() -> Open:
    """A builder that pushes to the registry at this address."""

    def open_one(host: str, account: Credentials = PUSHER, ca_file: Path | None = None) -> Builder:
        registry = RegistryConfig(
            url=f"{host}/apps", username=account.username, password=account.password, ca_file=ca_file
        )
        return DockerConfig(engine_socket=engine_socket()).open(registry)

    return open_one


class TestPushingBuilder(BuilderContract):
    """All of the contract, with images in a registry."""

    @pytest.fixture
    def builder(self, registry: DockerRegistry, open_builder: Open) -> Builder:
        """Pushes."""
        return open_builder(registry.host)

    @pytest.fixture
    def image_name(self, registry: DockerRegistry, image_name: ImageRef) -> ImageRef:
        """In the registry."""
        return named(image_name, registry.host)

    async def test_the_image_is_in_the_registry(
        self, builder: Builder, registry: DockerRegistry, store: ObjectStore, image_name: ImageRef, sink: MemorySink
    ) -> None:
        """It is referred to by the repository's digest, which the registry has under the build's tag."""
        image = await builder.build(await spec(store, image_name, f"RUN echo {nonce()}\n"), sink)
        repository = image_name.repository.partition("/")[2]
        async with registry.client() as client:
            digest = await client.head(repository, image_name.tag)
        assert str(image.image_ref) == f"{image_name.repository}@{digest}"
        step = sink.last_steps[f"push {image_name}"]
        assert (step.step_id, step.state, step.ended_at >= step.started_at > 0) == ("push", StepState.COMPLETED, True)
        told = [text for step_id, _, text in sink.lines if step_id == "push"]
        assert [line for line in told if "MiB" in line and line.startswith("layer ")]
        assert told[-1] == f"pushed {digest}"
        assert "push-secret" not in sink.everything()

    async def test_a_dockerfile_has_no_account(
        self, builder: Builder, registry: DockerRegistry, store: ObjectStore, image_name: ImageRef, sink: MemorySink
    ) -> None:
        """Another project's image that is in the registry alone can't be the base of a build."""
        other = f"apps/{nonce()}"
        async with registry.client() as client:
            await put_image(client, other, "one")
        registry.scopes.clear()
        files = {"Dockerfile": f"FROM {registry.host}/{other}:one\n"}
        with pytest.raises(BuildFailed) as caught:
            await builder.build(await spec(store, image_name, files=files), sink)
        assert caught.value.kind is FailureKind.REGISTRY_AUTH
        assert not [scope for who, scope in registry.scopes if who]


@pytest.fixture(scope="module")
def open_registry() -> Iterator[DockerRegistry]:
    with DockerRegistry() as one:
        yield one


@pytest.fixture
async def front(open_registry: DockerRegistry) -> AsyncIterator[FaultyFront]:
    async with faulty_front(open_registry.host) as one:
        yield one


@pytest.mark.parametrize("login", ["basic", "token"])
async def test_a_wrong_account(login: Login, open_builder: Open, store: ObjectStore, image_name: ImageRef) -> None:
    """Promise: a wrong password, and an account that may only pull, fail at once in their own words, also at start."""
    with DockerRegistry(login=login) as registry:
        accounts = [(FailureKind.PUSH_UNAUTHORIZED, Credentials("x-token", Secret("wrong-secret")))]
        if login == "token":
            accounts.append((FailureKind.PUSH_DENIED, PULLER))
        for kind, account in accounts:
            builder, sink = open_builder(registry.host, account), MemorySink()
            with pytest.raises(BuilderUnavailable, match=r"\[registry\]") as told:
                await builder.check()
            assert told.value.kind is kind
            async with asyncio.timeout(WAIT_S):
                with pytest.raises(
                    BuildFailed, match=r"The image was built, but it could not be pushed.*\[registry\]"
                ) as e:
                    await builder.build(await spec(store, named(image_name, registry.host)), sink)
            assert e.value.kind is kind
            assert sink.steps[-1].state is StepState.FAILED
            assert "secret" not in sink.everything() + e.value.message


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (lambda m, p: refusal(429, "TOOMANYREQUESTS", "slow") if m == "POST" else None, FailureKind.PUSH_RATE_LIMITED),
        (lambda m, p: refusal(404, "NAME_UNKNOWN", "none") if m == "POST" else None, FailureKind.PUSH_NO_REPOSITORY),
        (lambda m, p: web.Response(status=413, text="<html>") if m == "PATCH" else None, FailureKind.PUSH_TOO_LARGE),
        (
            lambda m, p: web.Response(status=507) if "manifests" in p and m == "PUT" else None,
            FailureKind.PUSH_REGISTRY_FULL,
        ),
        (
            lambda m, p: refusal(500, "UNKNOWN", "?") if "manifests" in p and m == "PUT" else None,
            FailureKind.PUSH_REGISTRY_AWAY,
        ),
    ],
    ids=["429", "404", "413", "507", "500"],
)
async def test_what_a_registry_refuses(
    front: FaultyFront,
    open_builder: Open,
    store: ObjectStore,
    image_name: ImageRef,
    fault: Callable[[str, str], web.Response | None],
    kind: FailureKind,
) -> None:
    """Promise: each refusal is told at once, as its own kind."""
    front.fault = fault
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(BuilderUnavailable if kind.is_ours else BuildFailed) as caught:
            await open_builder(front.host).build(
                await spec(store, named(image_name, front.host), f"RUN echo {nonce()}\n"), MemorySink()
            )
    assert caught.value.kind is kind  # type: ignore[attr-defined]


async def test_a_registry_that_asks_to_wait(
    front: FaultyFront, open_builder: Open, store: ObjectStore, image_name: ImageRef
) -> None:
    """Promise: a push waits as long as the registry says, and then succeeds in the same attempt."""
    left = [refusal(429, "TOOMANYREQUESTS", "slow", Retry_After="1") for _ in range(2)]
    front.fault = lambda method, path: left.pop() if left and method == "POST" else None
    sink = MemorySink()
    await open_builder(front.host).build(await spec(store, named(image_name, front.host)), sink)
    assert sink.text.count("waiting 1 s as it says") == 2


async def test_a_push_is_told_in_few_lines() -> None:
    """Promise: however many messages an engine sends, there is a line a layer and one on progress now and then."""
    sink = MemorySink()
    report = push._Report(sink, Redactor())
    for layer in range(100):
        await report.feed({"id": f"l{layer}", "status": "Preparing"})
        for sent in range(100):
            detail = {"current": sent << 20, "total": 100 << 20}
            await report.feed({"id": f"l{layer}", "status": "Pushing", "progressDetail": detail})
        for seconds in range(5, 0, -1):
            await report.feed({"id": f"l{layer}", "status": f"Retrying in {seconds} seconds"})
        end = ("Pushed", "Layer already exists", "Mounted from apps/base")[layer % 3]
        await report.feed({"id": f"l{layer}", "status": end, "progressDetail": {}})
    await report.end("sha256:1")
    assert len(sink.lines) <= 2 * 100 + 1 + 1
    assert "layer l0: pushed, 100.0 MiB" in sink.text
    assert "layer l1: the registry has it" in sink.text
    assert "layer l2: mounted from apps/base" in sink.text


async def test_a_registry_that_is_away(open_builder: Open, store: ObjectStore, image_name: ImageRef) -> None:
    """Promise: another attempt may succeed when nobody is there, and does once the registry is back."""
    with DockerRegistry() as registry:
        builder, name = open_builder(registry.host), named(image_name, registry.host)
        registry.stop()
        with pytest.raises(BuilderUnavailable) as caught:
            await builder.build(await spec(store, name), MemorySink())
        assert caught.value.kind is FailureKind.PUSH_REGISTRY_AWAY
        with pytest.raises(BuilderUnavailable, match=r"push_registry_away.*can't be reached"):
            await builder.check()
        registry.start()
        await builder.check()
        assert (await builder.build(await spec(store, name), MemorySink())).image_ref.repository == name.repository


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, with 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_a_registry_with_a_full_disk(
    open_builder: Open, store: ObjectStore, image_name: ImageRef, disk: Path
) -> None:
    """Promise: the registry's full disk is named as such, although an engine does not pass it on."""
    with DockerRegistry(storage=disk) as registry:
        (disk / "filler").write_bytes(b"x" * 64 * 1024)
        with pytest.raises(BuilderUnavailable) as caught:
            await open_builder(registry.host).build(await spec(store, named(image_name, registry.host)), MemorySink())
    assert caught.value.kind is FailureKind.PUSH_REGISTRY_FULL


@pytest.fixture
def address() -> str:
    """Of this machine and not on loopback, where engines insist on TLS."""
    found = (
        one.address
        for name, some in psutil.net_if_addrs().items()
        if name != "lo"
        for one in some
        if one.family == AF_INET
    )
    return next(found)


async def test_a_certificate_of_an_unknown_authority(
    open_builder: Open, store: ObjectStore, image_name: ImageRef, address: str
) -> None:
    """Promise: worker and engine, which trust on their own, each say what they lack, and work once they have it."""
    with DockerRegistry(login="basic", tls=True, address=address) as registry:
        with pytest.raises(BuilderUnavailable, match=r"ca_file of \[registry\]"):
            await open_builder(registry.host).check()
        builder = open_builder(registry.host, ca_file=registry.authority_file)
        await builder.check()
        name = named(image_name, registry.host)
        with pytest.raises(BuildFailed, match=rf"/etc/docker/certs\.d/{registry.host}/ca\.crt") as caught:
            await builder.build(await spec(store, name), MemorySink())
        assert caught.value.kind is FailureKind.PUSH_UNTRUSTED
        folder = Path("/etc/docker/certs.d") / registry.host
        folder.mkdir(parents=True)
        try:
            shutil.copy(registry.authority_file, folder / "ca.crt")
            assert (await builder.build(await spec(store, name), MemorySink())).image_ref.repository == name.repository
        finally:
            shutil.rmtree(folder)


async def test_a_registry_without_tls(
    open_builder: Open, store: ObjectStore, image_name: ImageRef, address: str
) -> None:
    """Promise: elsewhere than on loopback, a registry without TLS is refused with what to do, also at start."""
    with DockerRegistry(address=address) as registry:
        builder = open_builder(registry.host)
        with pytest.raises(BuildFailed, match="speaks HTTP without TLS") as caught:
            await builder.build(await spec(store, named(image_name, registry.host)), MemorySink())
        assert caught.value.kind is FailureKind.PUSH_UNTRUSTED
        with pytest.raises(BuilderUnavailable, match="speaks HTTP without TLS"):
            await builder.check()


async def test_a_push_that_hangs_ends_by_itself(
    front: FaultyFront, open_builder: Open, store: ObjectStore, image_name: ImageRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a registry that takes nothing any more is away, whatever time the build has left."""
    monkeypatch.setattr(push, "MAX_SILENCE_S", 0.5)
    front.holds.clear()
    build_spec = await spec(store, named(image_name, front.host), f"RUN echo {nonce()}\n")
    with pytest.raises(BuilderUnavailable, match="taken for 0 s") as caught:
        await open_builder(front.host).build(build_spec, MemorySink())
    assert caught.value.kind is FailureKind.PUSH_REGISTRY_AWAY


async def test_a_push_ends_with_the_time_of_its_build(
    front: FaultyFront, open_builder: Open, store: ObjectStore, image_name: ImageRef
) -> None:
    """Promise: the time limit of a build includes its push."""
    front.holds.clear()
    build_spec = await spec(store, named(image_name, front.host), f"RUN echo {nonce()}\n", timeout_s=8)
    with pytest.raises(BuildFailed, match="while it was pushed to"):
        await open_builder(front.host).build(build_spec, MemorySink())


async def test_a_cancelled_push_ends_at_the_engine(
    front: FaultyFront, open_builder: Open, store: ObjectStore, image_name: ImageRef
) -> None:
    """Promise: with the build ends its push: the engine asks the registry nothing more."""
    front.holds.clear()
    sink = MemorySink()
    build_spec = await spec(store, named(image_name, front.host), f"RUN echo {nonce()}\n")
    building = asyncio.create_task(open_builder(front.host).build(build_spec, sink))
    async with asyncio.timeout(WAIT_S):
        await front.is_holding.wait()
    building.cancel()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(asyncio.CancelledError):
            await building
        await front.has_lost.wait()
    assert sink.steps[-1].state is StepState.CANCELLED
    assert not [path for method, path in front.requests if method == "PUT"]


def named(name: ImageRef, host: str) -> ImageRef:
    """The same image in a registry; the fixture removes it from the engine by its label, which has the first name."""
    return ImageRef(f"{host}/apps/{name.repository.rpartition('/')[2]}", tag=name.tag)
