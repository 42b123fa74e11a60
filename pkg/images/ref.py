"""One value for every way to name an image. Pure."""

import re
from dataclasses import dataclass, replace
from typing import Self

MAX_REF_CHARS = 512
ENGINE_IMAGE_PREFIX = "engine:"
DOCKER_HUB = "docker.io"
_DOCKER_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_DIGEST = "sha256:"
# The grammar of https://pkg.go.dev/github.com/distribution/reference
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]{1,5})?"
_REGISTRY_REF = re.compile(
    rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?:@sha256:[0-9a-f]{64})?"
)
# A colon before a slash belongs to a port.
_PARTS = re.compile(r"(?P<repository>[^@]+?)(?::(?P<tag>[^:/@]+))?(?:@(?P<digest>.+))?", re.DOTALL)
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image: in a registry, by tag or digest or both, or on one Docker engine, by its id. `str` writes it.

    Attributes:
        repository: with the registry's host as written; "" for an image of an engine.
        tag: "" when none is written.
        digest: "sha256:..." of the manifest, or the image's id on its engine; "" when none is written.
    """

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` writes, and every reference that `is_registry_ref` accepts.

        It checks nothing: `str(ImageRef.parse(text))` is `text`, whatever that is.
        """
        if text.startswith(ENGINE_IMAGE_PREFIX + _DIGEST):
            return cls("", digest=text.removeprefix(ENGINE_IMAGE_PREFIX))
        match = _PARTS.fullmatch(text)
        return cls(match["repository"], match["tag"] or "", match["digest"] or "") if match else cls(text)

    @classmethod
    def on_engine(cls, image_id: str) -> Self:
        """The image with this id ("sha256:...") on one Docker engine."""
        return cls("", digest=image_id)

    def __str__(self) -> str:
        if self.is_on_engine:
            return f"{ENGINE_IMAGE_PREFIX}{self.digest}"
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def is_on_engine(self) -> bool:
        """Whether it exists on one engine only: no other engine can pull it."""
        return not self.repository and bool(self.digest)

    @property
    def registry(self) -> str:
        """The registry's host, with its port when one is written; "" for an image of an engine."""
        first, slash, _ = self.repository.partition("/")
        if slash and is_host(first):
            return first
        return "" if self.is_on_engine else DOCKER_HUB

    @property
    def canonical(self) -> "ImageRef":
        """The same image with its repository in one spelling, see `canonical_repository`."""
        return self if self.is_on_engine else replace(self, repository=canonical_repository(self.repository))

    @property
    def name_on_engine(self) -> str:
        """How a Docker engine knows it: by its id, or by its name, that of Docker Hub without its host."""
        return self.digest if self.is_on_engine else str(self).removeprefix(f"{DOCKER_HUB}/")


def is_host(first: str) -> bool:
    """Whether the first part of a repository's name is the host of a registry, and no folder of Docker Hub.

    As engines and BuildKit decide it: repositories are lower case, so a part with capitals is a host.
    """
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def canonical_host(host: str) -> str:
    """One spelling of a registry's host[:port]: lower case, without the port of https, one name for Docker Hub.

    A port is a number: engines connect to ":0443" as to ":443".
    """
    name, colon, port = host.lower().partition(":")
    if colon and port.isdecimal():
        port = str(int(port))
    lowered = name if port in ("", "443") else f"{name}:{port}"
    return DOCKER_HUB if lowered in _DOCKER_HUB_HOSTS else lowered


def canonical_repository(repository: str) -> str:
    """One spelling of a repository's name, with its registry's host: "docker.io/library/nginx" for "nginx"."""
    host, slash, path = repository.partition("/")
    if not (slash and is_host(host)):
        host, path = DOCKER_HUB, repository
    host = canonical_host(host)
    return f"{host}/library/{path}" if host == DOCKER_HUB and "/" not in path else f"{host}/{path}"


def familiar_name(image: ImageRef) -> str:
    """The repository as an engine shows it: without the host of Docker Hub, and the folder of its official images."""
    name = canonical_repository(image.repository)
    return name.removeprefix(f"{DOCKER_HUB}/").removeprefix("library/")


def is_registry_ref(text: str) -> bool:
    """Whether `text` names an image as registries know it: [host/]name[:tag][@sha256:digest]."""
    return not is_image_id(text) and _REGISTRY_REF.fullmatch(text) is not None


def is_image_id(text: str) -> bool:
    """Whether `text` is the id of an image on an engine, which no registry knows."""
    return _IMAGE_ID.fullmatch(text) is not None
