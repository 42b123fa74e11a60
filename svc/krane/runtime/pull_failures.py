"""What to request from an engine to pull an image, and why a pull failed there or on a cluster's node. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from pkg.errors import FailedPrecondition, SealiftError, Unavailable
from pkg.images import ImageRef
from pkg.registry.errors import RegistryProblem, of_text

MAX_SAID_CHARS = 300


@dataclass(frozen=True)
class Cause:
    """Why a registry gave no image.

    Attributes:
        why: with {registry}, {repository}, {setting}, and {username} where the engine has a login.
        why_without_login: the same where it has none; "" if that makes no difference.
        passes: whether a later pull may succeed although nobody changes anything.
    """

    code: str
    why: str
    why_without_login: str = ""
    passes: bool = False


_NO_IMAGE = Cause("instance.image_not_found", "{registry} has no such image or tag; check the name")
_DELETED = Cause(
    "instance.image_not_found",
    "{registry} has no image with that digest; if a build made it, it was deleted there since: build it again",
)
_ABSENT_OR_PRIVATE = Cause(
    "instance.image_not_found",
    "{registry} has no such image, or keeps it private (401/403); check the name, or the operator adds {setting}",
)
_UNREACHABLE = Cause("instance.registry_unreachable", "{registry} cannot be reached from this machine", passes=True)
_TOO_NEW = Cause(
    "instance.image_pull_failed",
    "{registry} has it as an OCI index (with attestations, or for several platforms), which this engine does not ask "
    "for; update the engine to Docker 20.10 or newer, or look at the proxy in front of the registry",
)
_UNKNOWN = Cause("instance.image_pull_failed", "the engine could not fetch it")
_CAUSES = {
    RegistryProblem.UNAUTHORIZED: Cause(
        "instance.registry_unauthorized",
        "{registry} does not accept the login of {username!r} (401); the operator corrects it in {setting}",
        "{registry} asks for a login (401); the operator adds {setting}",
    ),
    RegistryProblem.DENIED: Cause(
        "instance.image_refused",
        "{registry} refused {username!r} of {setting} access to {repository}, or has no such repository (403); check "
        "the name, or the operator grants that account access",
        "{registry} refused access to {repository}, or has no such image (403); check the name, make the image public, "
        "or the operator adds {setting}",
    ),
    RegistryProblem.RATE_LIMITED: Cause(
        "instance.registry_rate_limited",
        "{registry} limits how often it may be asked (429)",
        "{registry} limits how often it may be asked (429); with a login, in {setting}, the limit may be higher",
        passes=True,
    ),
    RegistryProblem.NO_REPOSITORY: Cause(
        "instance.repository_not_found", "{registry} has no repository {repository}; check the name"
    ),
    RegistryProblem.UNTRUSTED: Cause(
        "instance.registry_certificate",
        "the engine does not trust the certificate of {registry}; the operator puts that of its authority into "
        "/etc/docker/certs.d/{host}/ca.crt on this machine",
    ),
    RegistryProblem.PLAIN_HTTP: Cause(
        "instance.registry_plain_http",
        "{registry} speaks HTTP without TLS; the operator gives it a certificate, or names it in the engine's "
        "insecure-registries",
    ),
    RegistryProblem.UNRESOLVED: _UNREACHABLE,
    RegistryProblem.UNREACHABLE: _UNREACHABLE,
    RegistryProblem.UNAVAILABLE: Cause(
        "instance.registry_error", "{registry} has a fault of its own (5xx)", passes=True
    ),
    RegistryProblem.FULL: Cause(
        "instance.no_disk", "there is no disk left for it on the machine that runs the engine", passes=True
    ),
}  # fmt: skip

_BAD_LAYER = re.compile(r"failed to (register|extract) layer|error processing tar")
_OLD_ENGINE = re.compile(r"does not support oci|oci index found")
_NO_MANIFEST = re.compile(r"manifest unknown|manifest for \S+ not found|no such manifest")
_NOT_FOUND = re.compile(r"not found|does not exist|no such image")
# "pull access denied, repository does not exist or may require 'docker login'" is said of both.
_MAY_REQUIRE_LOGIN = re.compile(r"may require ")
_ASKS_FOR_LOGIN = re.compile(r"no basic auth credentials|unauthorized|authentication required")


def name_and_version(image_ref: ImageRef) -> tuple[str, str]:
    """The name and the tag (or digest) to pull; "latest" when none is given.

    Without a tag the engine would fetch every tag of the repository.
    """
    if image_ref.digest:
        return str(replace(image_ref, digest="")), image_ref.digest
    return image_ref.repository, image_ref.tag or "latest"


def image_missing(image_ref: str, region: str) -> FailedPrecondition:
    """An image of this engine is gone: only a new deploy brings it back."""
    return FailedPrecondition(
        "instance.image_missing",
        f"image {image_ref} is no longer on the engine of region {region}; deploy again to rebuild it",
    )


def pull_failed(
    image_ref: str,
    said: str,
    username: str = "",
    *,
    causes: Mapping[RegistryProblem, Cause] = MappingProxyType({}),
    speaker: str = "engine",
) -> SealiftError:
    """What was said about a pull, with the cause named and the next step.

    Args:
        image_ref: that was pulled.
        said: the engine's message.
        username: with which the engine logged in to the registry; "" without a login.
        causes: where the next step is another one than on a Docker engine.
        speaker: who said it.

    Returns:
        Unavailable when a later pull may succeed, else FailedPrecondition.
    """
    ref = ImageRef.parse(image_ref)
    cause = _cause(_without_names(said, ref), {**_CAUSES, **causes}, has_login=bool(username))
    if cause is _NO_IMAGE and ref.digest:
        cause = _DELETED
    why = (cause.why if username or not cause.why_without_login else cause.why_without_login).format(
        registry=f"registry {ref.registry}",
        host=ref.registry,
        repository=ref.repository,
        username=username,
        setting=f'[[registries]] with host = "{ref.registry}" in krane\'s configuration',
    )
    message = f"image {image_ref} cannot be pulled: {why} ({speaker}: {_clean(said)})"
    return (Unavailable if cause.passes else FailedPrecondition)(cause.code, message)


def _cause(said: str, causes: Mapping[RegistryProblem, Cause], *, has_login: bool) -> Cause:
    if _MAY_REQUIRE_LOGIN.search(said):
        if _ASKS_FOR_LOGIN.search(said):
            return causes[RegistryProblem.UNAUTHORIZED]
        return causes[RegistryProblem.DENIED] if has_login else _ABSENT_OR_PRIVATE
    if _BAD_LAYER.search(said) and of_text(said) is not RegistryProblem.FULL:
        return _UNKNOWN
    if _OLD_ENGINE.search(said):
        return _TOO_NEW
    if _NO_MANIFEST.search(said):
        return _NO_IMAGE
    problem = of_text(said)
    if problem is RegistryProblem.UNEXPECTED and _NOT_FOUND.search(said):
        return _NO_IMAGE
    return causes.get(problem, _UNKNOWN)


def _without_names(said: str, ref: ImageRef) -> str:
    """Lower case. Addresses and names of images may hold any of the words that are looked for."""
    text = re.sub(r"[a-z]+://\S+", "URL", said.lower())
    repository = ref.repository.lower()
    for name in (repository, repository.removeprefix(f"{ref.registry.lower()}/")):
        text = re.sub(rf"(?<![a-z0-9.-]){re.escape(name)}[:@][^\s\"]+", "NAME", text)
        text = re.sub(rf"\b(for|repository) {re.escape(name)}(?![a-z0-9])", r"\1 NAME", text)
    return text


def _clean(said: str) -> str:
    """Query strings may hold signatures."""
    words = [word.split("?", 1)[0] if "://" in word else word for word in said.split()]
    return " ".join(words)[:MAX_SAID_CHARS]
