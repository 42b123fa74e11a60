"""Formats what is known of a built image. Pure."""

from collections.abc import Sequence

DIGEST_CHARS = 12  # as Docker shows them; --json has the whole digest
_ENGINE = "engine:"
NOT_ATTACHED = "not attached"


def short_image(image_ref: str) -> str:
    """A shortened digest of a built image; other references unchanged."""
    head, mark, digest = image_ref.rpartition("sha256:")
    return f"{head}{mark}{digest[:DIGEST_CHARS]}" if mark and head in ("", _ENGINE) else image_ref


def image_rows(image_name: str, image_ref: str, platform: str, attestations: Sequence[str]) -> list[tuple[str, str]]:
    """Label and value of each fact of an image that was built. An older server tells less.

    Args:
        image_name: repository and tag, "" if unknown.
        image_ref: "" after the image was deleted.
        platform: "" if unknown.
        attestations: what is attached to it.
    """
    digest = image_ref.removeprefix(_ENGINE).rpartition("@")[2] if image_ref else "the image was deleted"
    where = " on the engine that built it" if image_ref.startswith(_ENGINE) else ""
    rows = [
        ("Image", f"{image_name}{where}" if image_name else ""),
        ("Digest", digest),
        ("Platform", platform),
        ("Attested", ", ".join(attestations) or NOT_ATTACHED),
    ]
    return [(label, value) for label, value in rows if value]
