"""What a registry has of an image that was pushed to it."""

import re
from typing import Any

from pkg.builders.port import BuiltImage
from pkg.builds.failures import BuilderUnavailable, FailureKind
from pkg.images import ImageRef
from pkg.registry.client import RegistryClient, repository_of
from pkg.registry.manifests import Manifest, digest_of, table

# Types of the statements in an image's attestations, which have versions: https://slsa.dev/provenance/v0.2
_ATTESTATIONS = {"provenance": "https://slsa.dev/provenance", "sbom": "https://spdx.dev/"}
MAX_CHILDREN = 64  # of an index; ours have two for each platform
MAX_PORT = 65535
_PLATFORM = re.compile(r"[a-z0-9]{1,32}/[a-z0-9_]{1,32}")
_PORT = re.compile(r"([0-9]{1,5})(?:/tcp)?")
_ATTESTATION_MANIFEST = "attestation-manifest"


async def read_pushed_image(client: RegistryClient, name: ImageRef, digest: str) -> BuiltImage:
    """The image with this digest in the repository of `name`. The registry confirms it, not only who pushed.

    Raises:
        RegistryError: the registry was asked in vain.
        BuilderUnavailable: it does not have the image.
    """
    repository = repository_of(name)
    top = await _manifest(client, repository, digest)
    image, attestations = top, []
    if top.is_index:
        described = next((one for one in top.children if not _is_attestation(one)), None)
        if described is None:
            raise _missing(client, repository, f"an image in the index {digest}")
        image = await _manifest(client, repository, digest_of(described))
        for child in top.children[:MAX_CHILDREN]:
            if _is_attestation(child):
                attestations += _kinds(await _manifest(client, repository, digest_of(child)))
    config = await client.config(repository, image.config_digest)
    if config is None:
        raise _missing(client, repository, f"the configuration {image.config_digest}")
    return BuiltImage(
        image_ref=ImageRef(name.repository, digest=digest),
        name=name,
        platform=platform_of(config.get("os"), config.get("architecture")),
        size_bytes=image.size_bytes,
        exposed_ports=exposed_ports(table(config.get("config"))),
        attestations=tuple(kind for kind in _ATTESTATIONS if kind in attestations),
    )


def exposed_ports(config: dict[str, Any]) -> tuple[int, ...]:
    """The TCP ports of an image's `Config`, ascending; what is no port is left out."""
    ports = set()
    for name in table(config.get("ExposedPorts")):
        match = _PORT.fullmatch(name)
        if match and 0 < int(match[1]) <= MAX_PORT:
            ports.add(int(match[1]))
    return tuple(sorted(ports))


async def _manifest(client: RegistryClient, repository: str, digest: str) -> Manifest:
    found = await client.manifest(repository, digest)
    if found is None:
        raise _missing(client, repository, digest)
    return found


def _missing(client: RegistryClient, repository: str, what: str) -> BuilderUnavailable:
    return BuilderUnavailable(
        FailureKind.PUSH_REGISTRY_AWAY,
        f"the image was built and pushed, but the registry {client.host}/{repository} does not have {what}",
    )


def _is_attestation(descriptor: dict[str, Any]) -> bool:
    return table(descriptor.get("annotations")).get("vnd.docker.reference.type") == _ATTESTATION_MANIFEST


def _kinds(attestation: Manifest) -> list[str]:
    found = []
    for layer in attestation.layers:
        statement = str(table(layer.get("annotations")).get("in-toto.io/predicate-type", ""))
        found += [kind for kind, prefix in _ATTESTATIONS.items() if statement.startswith(prefix)]
    return found


def platform_of(os: object, architecture: object) -> str:
    """The platform that an image says it is for, "linux/amd64"; "" when that can't be one: FROM may be anybody's."""
    platform = f"{os or 'linux'}/{architecture or ''}"
    return platform if _PLATFORM.fullmatch(platform) else ""
