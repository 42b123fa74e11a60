"""The images of a Docker engine."""

from pathlib import Path
from typing import Any

from pkg.builders.failures import BuilderUnavailable, FailureKind
from pkg.builders.images import StoredImage
from pkg.docker import Engine, EngineError
from pkg.images import INSTALLATION_LABEL, ImageRef

_NO_NAME = "<none>:<none>"


class DockerImages:
    """`ImageStore` on the engine at `socket`. Holds no connection between calls."""

    def __init__(self, socket: Path) -> None:
        self._engine = Engine(socket)

    async def list_images(self, installation_id: str) -> list[StoredImage]:
        """See `ImageStore.list_images`."""
        try:
            found = await self._engine.images(f"{INSTALLATION_LABEL}={installation_id}")
        except EngineError as e:
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, str(e)) from e
        # the engine has filtered; what is deleted later is looked at once more
        return [_stored(one) for one in found if (one.get("Labels") or {}).get(INSTALLATION_LABEL) == installation_id]

    async def delete_image(self, image: StoredImage) -> bool:
        """See `ImageStore.delete_image`. Nothing is forced: the engine refuses what a container needs."""
        image_id = image.image_ref.digest
        try:
            for name in image.names:
                # a name that went to another image meanwhile is that one's
                found = await self._engine.image(name)
                if found is None or found["Id"] != image_id:
                    continue
                if not await self._engine.delete_image(name):
                    return False
            found = await self._engine.image(image_id)
            if found is None:
                return True
            if _names(found):
                return False
            return await self._engine.delete_image(image_id)
        except EngineError as e:
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, str(e)) from e


def _stored(one: dict[str, Any]) -> StoredImage:
    return StoredImage(
        image_ref=ImageRef.on_engine(one["Id"]),
        names=_names(one),
        created_at=int(one.get("Created") or 0) * 1000,
        size_bytes=int(one.get("Size") or 0),
    )


def _names(one: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in one.get("RepoTags") or () if name != _NO_NAME)
