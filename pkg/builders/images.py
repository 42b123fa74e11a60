"""The port of what keeps built images: listing those of one installation, and deleting one."""

from dataclasses import dataclass
from typing import Protocol

from pkg.images import ImageRef


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as its keeper lists it.

    Attributes:
        image_ref: as in `BuiltImage.image_ref`.
        names: every repository and tag it has now; () for an image whose names went to others.
        created_at: epoch ms when its content was built first; building the same content again does not change it.
        size_bytes: all its layers; other images may share some.
    """

    image_ref: ImageRef
    names: tuple[str, ...]
    created_at: int
    size_bytes: int


class ImageStore(Protocol):
    """Where a build backend keeps its images."""

    async def list_images(self, installation_id: str) -> list[StoredImage]:
        """The images that carry INSTALLATION_LABEL with exactly this value; never those of another installation.

        Raises:
            BuilderUnavailable: no answer.
        """
        ...

    async def delete_image(self, image: StoredImage) -> bool:
        """Deletes a listed image by taking its listed names away. Idempotent: one that is gone is fine.

        False: it stays, because it has got another name since it was listed (the same content was built again), or a
        container was made of it.

        Raises:
            BuilderUnavailable: no answer, or a refusal for another reason.
        """
        ...
