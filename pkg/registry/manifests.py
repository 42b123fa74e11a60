"""What a registry sends, read without trust in its shape: whatever is not as it should be is missing. Pure."""

import json
import re
from dataclasses import dataclass
from typing import Any

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, of an image or an index of several.

    Attributes:
        digest: "sha256:...", of `content` as it came.
        media_type: one of INDEX_TYPES or MANIFEST_TYPES.
        content: as JSON; its parts may be of any kind.
    """

    digest: str
    media_type: str
    content: dict[str, Any]

    @property
    def is_index(self) -> bool:
        """Whether it lists images by platform, and attestations."""
        return self.media_type in INDEX_TYPES

    @property
    def config_digest(self) -> str:
        """Of the image's configuration; "" for an index."""
        return digest_of(table(self.content.get("config")))

    @property
    def layers(self) -> tuple[dict[str, Any], ...]:
        """The descriptors of an image's layers; () for an index."""
        return tables(self.content.get("layers"))

    @property
    def size_bytes(self) -> int:
        """Of the compressed layers; 0 for an index."""
        sizes = (layer.get("size") for layer in self.layers)
        return sum(size for size in sizes if isinstance(size, int) and 0 <= size < 1 << 50)

    @property
    def children(self) -> tuple[dict[str, Any], ...]:
        """The descriptors in an index (`digest`, `platform`, `annotations`); () for an image."""
        return tables(self.content.get("manifests"))


def read_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in `body`; None for anything else, however deep it is nested."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def is_digest(text: str) -> bool:
    """Whether it is the digest of a manifest or a blob: "sha256:" and 64 hex digits."""
    return _DIGEST.fullmatch(text) is not None


def digest_of(descriptor: dict[str, Any]) -> str:
    """The digest that a descriptor names; "" if that is none."""
    digest = descriptor.get("digest")
    return digest if isinstance(digest, str) and is_digest(digest) else ""


def table(value: object) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def tables(value: object) -> tuple[dict[str, Any], ...]:
    """The JSON objects in `value`, if it is a list."""
    return tuple(one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()
