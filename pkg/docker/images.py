"""The images of one installation on a Docker engine: listing those it built, and deleting one."""

from pathlib import Path
from typing import Any

from pkg.docker.engine import Engine
from pkg.images import INSTALLATION_LABEL, ImageRef, StoredImage

_NO_NAME = "<none>:<none>"
_NO_DIGEST = "<none>@<none>"


class DockerImages:
    """On the engine at `socket`. Holds no connection between calls. Raises EngineError when there is no answer."""

    def __init__(self, socket: Path) -> None:
        self._engine = Engine(socket)

    async def list_images(self, installation_id: str) -> list[StoredImage]:
        """The images that carry INSTALLATION_LABEL with exactly this value; never those of another installation."""
        found = await self._engine.images(f"{INSTALLATION_LABEL}={installation_id}")
        # the engine has filtered; what is deleted later is checked once more
        return [_stored(one) for one in found if (one.get("Labels") or {}).get(INSTALLATION_LABEL) == installation_id]

    async def delete_image(self, image: StoredImage) -> bool:
        """Deletes a listed image by taking its listed names and digests away. Idempotent: one that is gone is success.

        Nothing is forced. False: it stays, because it has got another name or digest since it was listed (the same
        content was built or pulled again), or a container was made of it.
        """
        image_id = image.image_ref.digest
        # digests after names: of one digest, containerd's store deletes every name
        for names in (image.names, image.digests):
            for name in names:
                # a name that has moved to another image since belongs to that one
                found = await self._engine.image(name)
                if found is None or found["Id"] != image_id:
                    continue
                if not await self._engine.delete_image(name):
                    return False
            found = await self._engine.image(image_id)
            if found is None:
                return True
            if _names(found) or not set(_digests(found)) <= set(image.digests):
                return False
        return await self._engine.delete_image(image_id)


def _stored(one: dict[str, Any]) -> StoredImage:
    return StoredImage(
        image_ref=ImageRef.on_engine(one["Id"]),
        names=_names(one),
        created_at=int(one.get("Created") or 0) * 1000,
        size_bytes=int(one.get("Size") or 0),
        digests=_digests(one),
    )


def _names(one: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in one.get("RepoTags") or () if name != _NO_NAME and "@" not in name)


def _digests(one: dict[str, Any]) -> tuple[str, ...]:
    # containerd's store lists an image that was pulled by its digest among the tags
    listed = (*(one.get("RepoDigests") or ()), *(one.get("RepoTags") or ()))
    return tuple(dict.fromkeys(name for name in listed if "@" in name and name != _NO_DIGEST))
