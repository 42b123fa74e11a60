"""What a registry has of an image that was pushed to it."""

from typing import Any

from pkg.builders.port import BuiltImage
from pkg.builds.failures import BuilderUnavailable, FailureKind
from pkg.images import ImageRef
from pkg.registry.client import Manifest, RegistryClient, repository_of

# Types of the statements in an image's attestations, which have versions: https://slsa.dev/provenance/v0.2
_ATTESTATIONS = {"provenance": "https://slsa.dev/provenance", "sbom": "https://spdx.dev/"}
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
        image = await _manifest(client, repository, described["digest"])
        for child in top.children:
            if _is_attestation(child):
                attestations += _kinds(await _manifest(client, repository, child["digest"]))
    config = await client.config(repository, image.config_digest)
    if config is None:
        raise _missing(client, repository, f"the configuration {image.config_digest}")
    return BuiltImage(
        image_ref=ImageRef(name.repository, digest=digest),
        name=name,
        platform=_platform(config),
        size_bytes=image.size_bytes,
        exposed_ports=exposed_ports(config.get("config") or {}),
        attestations=tuple(kind for kind in _ATTESTATIONS if kind in attestations),
    )


def exposed_ports(config: dict[str, Any]) -> tuple[int, ...]:
    """The TCP ports of an image's `Config`, ascending."""
    ports = set()
    for name in config.get("ExposedPorts") or {}:
        number, _, protocol = name.partition("/")
        if protocol in ("", "tcp") and number.isdecimal():
            ports.add(int(number))
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
    return (descriptor.get("annotations") or {}).get("vnd.docker.reference.type") == _ATTESTATION_MANIFEST


def _kinds(attestation: Manifest) -> list[str]:
    found = []
    for layer in attestation.content.get("layers", ()):
        statement = str((layer.get("annotations") or {}).get("in-toto.io/predicate-type", ""))
        found += [kind for kind, prefix in _ATTESTATIONS.items() if statement.startswith(prefix)]
    return found


def _platform(config: dict[str, Any]) -> str:
    return f"{config.get('os', 'linux')}/{config.get('architecture', '')}"
