"""What is attached to images, and what must not be in it."""

import json
import re
from typing import Any

import pytest

from pkg.builders.buildkit.config import BuildkitConfig
from pkg.builders.buildkit.conftest import Build
from pkg.builders.port import BuiltImage
from pkg.builders.pushing import SbomScanner
from pkg.builders.testing import SHELL, MemorySink, nonce
from pkg.buildkit.channel import engine_channel, stub
from pkg.buildkit.pb import control_pb2 as pb
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.buildkit.testing_front import Front
from pkg.ids import new_id
from pkg.images import build_image
from pkg.registry.client import RegistryClient, repository_of
from pkg.registry.testing import DockerRegistry

# What BuildKit asks of a scanner: statements in files of $BUILDKIT_SCAN_DESTINATION.
SCANNER = r"""#!/bin/sh
cat >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json <<EOF
{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document",
 "predicate": {"name": "made by a test"}}
EOF
"""


async def statements(client: RegistryClient, image: BuiltImage) -> list[dict[str, Any]]:
    """Every statement attached to the image."""
    repository = repository_of(image.name)
    index = await client.manifest(repository, image.image_ref.digest)
    assert index is not None
    found = []
    for child in index.children[1:]:
        manifest = await client.manifest(repository, child["digest"])
        assert manifest is not None
        for layer in manifest.content["layers"]:
            statement = await client.config(repository, layer["digest"])
            assert statement is not None
            found.append(statement)
    return found


async def test_provenance(build: Build, token_registry: DockerRegistry, buildkit_daemon: BuildkitDaemon) -> None:
    """Promise: an image has provenance, with neither build arguments nor signed URLs in it, nor in any history."""
    argument, secret = f"argument-{nonce()}", f"secret-{nonce()}"
    dockerfile = f"{SHELL}ARG GIVEN\nRUN --mount=type=secret,id=token test -s /run/secrets/token && : {nonce()}\n"
    image = await build(dockerfile, build_args={"GIVEN": argument}, secrets={"token": secret.encode()})
    assert image.attestations == ("provenance",)
    async with token_registry.client() as client:
        found = await statements(client, image)
        assert [one["predicateType"] for one in found] == ["https://slsa.dev/provenance/v0.2"]
        source = found[0]["predicate"]["invocation"]["configSource"]["uri"]
        assert re.fullmatch(r"http://buildkit-session/[0-9a-f]{32}/context", source)
    text = json.dumps(found)
    assert [one for one in (argument, secret, "signature", "/objects/", "x-token") if one in text] == []
    async with engine_channel(buildkit_daemon.socket) as channel:
        kept = stub(channel).ListenBuildHistory(pb.BuildHistoryRequest(EarlyExit=True))
        assert [event async for event in kept] == []


@pytest.fixture
async def scanner(build: Build, open_registry: DockerRegistry, front: Front) -> BuiltImage:
    """A scanner that everybody may pull."""
    builder = BuildkitConfig(address=front.address, sbom_scanner="").open(open_registry.config())
    run = 'RUN /bin/busybox --install /bin\nENTRYPOINT ["/bin/scan"]\n'
    files = {"Dockerfile": f"{SHELL}COPY --chmod=755 scan /bin/scan\n{run}"}
    name = build_image(new_id("proj"), new_id("bld"), open_registry.config().url)
    return await build(files | {"scan": SCANNER}, using=builder, image_name=name)


async def test_sbom(build: Build, front: Front, token_registry: DockerRegistry, scanner: BuiltImage) -> None:
    """Promise: with a scanner that the daemon can pull, an image has an SBOM, too."""
    config = BuildkitConfig(address=front.address, sbom_scanner=str(scanner.name))
    image = await build(f"{SHELL}RUN : {nonce()}\n", using=config.open(token_registry.config()))
    assert image.attestations == ("provenance", "sbom")
    async with token_registry.client() as client:
        kinds = [one["predicateType"] for one in await statements(client, image)]
    assert sorted(kinds) == ["https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"]


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "broken"])
async def test_a_scanner_that_cannot_be_used(
    build: Build, front: Front, token_registry: DockerRegistry, open_registry: DockerRegistry, is_there: bool
) -> None:
    """Promise: no build fails by its scanner; the log says why there is no SBOM; the next build does not try again."""
    name = build_image(new_id("proj"), new_id("bld"), open_registry.config().url)
    if is_there:
        plain = BuildkitConfig(address=front.address, sbom_scanner="").open(open_registry.config())
        await build(f'{SHELL}ENTRYPOINT ["/bin/sh", "-c", "exit 9"]\n', using=plain, image_name=name)
    builder = BuildkitConfig(address=front.address, sbom_scanner=str(name)).open(token_registry.config())
    sink, mark = MemorySink(), nonce()
    image = await build(f"{SHELL}RUN echo once {mark}\n", sink, using=builder, no_cache=True)
    assert image.attestations == ("provenance",)
    assert f"the image gets no SBOM, because the scanner {name} could not be used" in sink.text
    assert sink.text.splitlines().count(f"once {mark}") == 1
    again = MemorySink()
    await build(f"{SHELL}RUN echo once {mark}\n", again, using=builder)
    assert "SBOM" not in again.text


async def test_a_failure_of_the_build_is_no_failure_of_the_scanner(
    build: Build, front: Front, token_registry: DockerRegistry, scanner: BuiltImage
) -> None:
    """Promise: what the Dockerfile gets wrong is said as ever."""
    builder = BuildkitConfig(address=front.address, sbom_scanner=str(scanner.name)).open(token_registry.config())
    sink = MemorySink()
    with pytest.raises(Exception, match=r"build\.command_failed"):
        await build(f"{SHELL}RUN : {nonce()}; exit 3\n", sink, using=builder)
    assert "SBOM" not in sink.text


def test_no_scanner() -> None:
    """Promise: an empty name makes no SBOMs."""
    assert not SbomScanner("").is_usable
    scanner = SbomScanner("x/y:1")
    assert scanner.is_usable
    scanner.pause()
    assert not scanner.is_usable
