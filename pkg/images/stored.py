"""An image as an engine lists it."""

from dataclasses import dataclass

from pkg.images.ref import ImageRef


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image of a build that is on an engine: it was built there, or pulled.

    Attributes:
        image_ref: on that engine.
        names: every repository and tag it has now; () for an image whose names went to others.
        created_at: epoch ms when its content was built first; building the same content again does not change it.
        size_bytes: all its layers; other images may share some. 0: not reported.
        digests: "repository@sha256:..." of each repository that the engine pulled it from or pushed it to.
    """

    image_ref: ImageRef
    names: tuple[str, ...]
    created_at: int
    size_bytes: int = 0
    digests: tuple[str, ...] = ()
