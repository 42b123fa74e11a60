"""What the registry says of an image: which digest its tag has now, which ports it EXPOSEs, whether it runs as root.

Nodes pull images by themselves; krane asks so that all instances run the same image although the tag moves. What it
can't learn it does without.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pkg.errors import SealiftError
from pkg.images import ImageRef
from pkg.images.config import Images, RegistryLogin, login_for
from pkg.observability.logging import fields
from pkg.registry.auth import Credentials
from pkg.registry.client import RegistryClient, repository_of
from pkg.registry.manifests import Manifest

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
MAX_KNOWN = 2000
LOOKUPS = 8  # at the same time


@dataclass(frozen=True)
class ImageFacts:
    """What the configuration of an image says; nothing, where the registry could not be asked.

    Attributes:
        exposed: TCP ports.
        is_non_root: its USER is a number other than 0.
    """

    exposed: tuple[int, ...] = ()
    is_non_root: bool = False


class RegistryImages:
    """Asks registries with krane's logins. `allowed`: images that nodes have although no registry is asked."""

    def __init__(
        self,
        logins: Sequence[RegistryLogin],
        allowed: Images,
        make: Callable[[str, Credentials | None], RegistryClient] = RegistryClient,
    ) -> None:
        self._logins = logins
        self._allowed = allowed
        self._make = make
        self._facts: dict[str, ImageFacts] = {}
        self._slots = asyncio.Semaphore(LOOKUPS)

    def username(self, ref: ImageRef) -> str:
        """With which nodes log in to the image's registry; "" without a login."""
        login = login_for(self._logins, ref)
        return login.username if login is not None else ""

    async def pinned(self, image_ref: str) -> str:
        """How nodes pull it: by digest where that is known or can be learned, else as it is named. Raises nothing."""
        ref = ImageRef.parse(image_ref)
        if ref.digest:
            return f"{ref.repository}@{ref.digest}"
        if self._allowed.allows(ref):
            return image_ref
        try:
            async with self._slots, asyncio.timeout(TIMEOUT_S), self._client(ref) as client:
                digest = await client.head(repository_of(ref), ref.tag or "latest")
        except (SealiftError, TimeoutError, OSError) as error:
            log.info(
                "a registry did not say which digest a tag has: nodes pull by the tag",
                extra=fields(image_ref=image_ref, error=str(error) or "no answer in time"),
            )
            return image_ref
        return f"{ref.repository}@{digest}" if digest else image_ref

    async def facts(self, image: str) -> ImageFacts:
        """Of an image as `pinned` names it. Raises nothing; asked once for each."""
        known = self._facts.get(image)
        if known is None:
            known = await self._ask(ImageRef.parse(image))
            self._facts[image] = known
            if len(self._facts) > MAX_KNOWN:
                del self._facts[next(iter(self._facts))]
        return known

    async def _ask(self, ref: ImageRef) -> ImageFacts:
        if self._allowed.allows(ref):
            return ImageFacts()
        repository = repository_of(ref)
        try:
            async with self._slots, asyncio.timeout(TIMEOUT_S), self._client(ref) as client:
                manifest = await client.manifest(repository, ref.digest or ref.tag or "latest")
                if manifest is not None and manifest.is_index and (child := _linux(manifest)):
                    manifest = await client.manifest(repository, child)
                if manifest is None or not manifest.config_digest:
                    return ImageFacts()
                config = await client.config(repository, manifest.config_digest)
        except (SealiftError, TimeoutError, OSError) as error:
            log.info("an image's configuration is not known", extra=fields(image_ref=str(ref), error=str(error)))
            return ImageFacts()
        return facts_of((config or {}).get("config") or {})

    def _client(self, ref: ImageRef) -> RegistryClient:
        login = login_for(self._logins, ref)
        return self._make(ref.registry, Credentials(login.username, login.password) if login is not None else None)


def facts_of(config: Mapping[str, Any]) -> ImageFacts:
    """What an image's configuration says."""
    exposed = []
    for name in config.get("ExposedPorts") or {}:
        port, _, protocol = str(name).partition("/")
        if port.isdecimal() and protocol in ("", "tcp"):
            exposed.append(int(port))
    user = str(config.get("User") or "").partition(":")[0]
    return ImageFacts(tuple(sorted(exposed)), user.isdecimal() and int(user) > 0)


def _linux(index: Manifest) -> str:
    """The digest of an image for Linux in an index, whatever the processor: what is asked for is the same in each."""
    for child in index.children:
        if (child.get("platform") or {}).get("os") == "linux":
            return str(child.get("digest", ""))
    return ""
