"""What to request from the engine to pull an image, and why a pull failed. Pure."""

from dataclasses import replace

from pkg.errors import FailedPrecondition
from pkg.images import ImageRef

_REFUSED = ("unauthorized", "authentication required", "denied", "no basic auth credentials", "forbidden")
_UNKNOWN = ("not found", "manifest unknown", "does not exist", "name unknown", "no such image")
_UNREACHABLE = (
    "connection refused",
    "no such host",
    "i/o timeout",
    "tls handshake timeout",
    "network is unreachable",
    "no route to host",
    "client.timeout exceeded",
    "request canceled while waiting for connection",
    "server misbehaving",
    "temporary failure in name resolution",
    "proxyconnect",
    "eof",
)


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


def pull_failed(image_ref: str, said: str) -> FailedPrecondition:
    """What the engine said about a pull, with the cause named and the next step."""
    lowered = said.lower()
    registry = f"registry {ImageRef.parse(image_ref).registry}"
    # "pull access denied ... repository does not exist or may require 'docker login'" means either: say both.
    if "may require" in lowered:
        why, code = f"{registry} has no such image, or keeps it private; check the name", "instance.image_not_found"
    elif any(word in lowered for word in _REFUSED):
        why, code = f"{registry} refused access (401/403); make the image public", "instance.image_refused"
    elif any(word in lowered for word in _UNREACHABLE):
        why, code = f"{registry} cannot be reached from this machine", "instance.registry_unreachable"
    elif any(word in lowered for word in _UNKNOWN):
        why, code = f"{registry} has no such image or tag; check the name", "instance.image_not_found"
    else:
        why, code = "the engine could not fetch it", "instance.image_pull_failed"
    return FailedPrecondition(code, f"image {image_ref} cannot be pulled: {why} (engine: {_clean(said)})")


def _clean(said: str) -> str:
    """Query strings may hold signatures."""
    words = [word.split("?", 1)[0] if "://" in word else word for word in said.split()]
    return " ".join(words)[:300]
