"""The builder on an engine that keeps images in containerd's store, as new installations of Docker do."""

import pytest

from pkg.builders.contract import spec
from pkg.builders.docker.config import DockerConfig
from pkg.builders.port import Builder
from pkg.builders.testing import MemorySink, nonce
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.builds.failures import BuildFailed, FailureKind
from pkg.config import Secret
from pkg.ids import new_id
from pkg.images import build_image
from pkg.registry import RegistryConfig
from pkg.registry.testing import PUSHER, DockerRegistry
from pkg.storage.port import ObjectStore


def open_builder(daemon: BuildkitDaemon, registry: DockerRegistry, password: Secret = PUSHER.password) -> Builder:
    section = RegistryConfig(url=f"{registry.host}/apps", username=PUSHER.username, password=password)
    return DockerConfig(engine_socket=daemon.socket).open(section)


async def test_an_image_is_pushed(buildkit_daemon: BuildkitDaemon, store: ObjectStore) -> None:
    """Promise: such an engine names the digest in other messages; the deployment gets it all the same."""
    with DockerRegistry(login="token") as registry:
        builder, sink = open_builder(buildkit_daemon, registry), MemorySink()
        name = build_image(new_id("proj"), new_id("bld"), f"{registry.host}/apps")
        build_spec = await spec(store, name, f"EXPOSE 8080\nRUN echo {nonce()}\n")
        await builder.check()
        image = await builder.build(build_spec, sink)
        async with registry.client() as client:
            digest = await client.head(name.repository.partition("/")[2], name.tag)
        assert str(image.image_ref) == f"{name.repository}@{digest}"
        assert image.exposed_ports == (8080,)
        assert sink.text.endswith(f"pushed {digest}")
        assert (await builder.build(build_spec, MemorySink())).image_ref == image.image_ref


async def test_a_wrong_password(buildkit_daemon: BuildkitDaemon, store: ObjectStore) -> None:
    """Promise: the failure is of the same kind as on every other engine."""
    with DockerRegistry(login="basic") as registry:
        name = build_image(new_id("proj"), new_id("bld"), f"{registry.host}/apps")
        with pytest.raises(BuildFailed) as caught:
            await open_builder(buildkit_daemon, registry, Secret("wrong")).build(await spec(store, name), MemorySink())
        assert caught.value.kind is FailureKind.PUSH_UNAUTHORIZED
