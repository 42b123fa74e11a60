"""An image as an engine lists it."""

from dataclasses import dataclass

from pkg.images.ref import ImageRef


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that a build left on an engine.

    Attributes:
        image_ref: on that engine.
        names: every repository and tag it has now; () for an image whose names went to others.
        created_at: epoch ms when its content was built first; building the same content again does not change it.
        size_bytes: all its layers; other images may share some. 0: not reported.
    """

    image_ref: ImageRef
    names: tuple[str, ...]
    created_at: int
    size_bytes: int = 0
