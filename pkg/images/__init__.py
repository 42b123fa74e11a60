"""Container images by name: `ref.ImageRef`, one value for every way to name one, and how Sealift names its own."""

from pkg.images.names import INSTALLATION_LABEL, build_image, is_build_image
from pkg.images.ref import ENGINE_IMAGE_PREFIX, MAX_REF_CHARS, ImageRef
from pkg.images.stored import StoredImage

__all__ = [
    "ENGINE_IMAGE_PREFIX",
    "INSTALLATION_LABEL",
    "MAX_REF_CHARS",
    "ImageRef",
    "StoredImage",
    "build_image",
    "is_build_image",
]
