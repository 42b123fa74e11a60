"""Formats what is known of a built image. Pure."""

from collections.abc import Sequence

DIGEST_CHARS = 12  # as Docker shows them; --json has the whole digest
_ENGINE = "engine:"
# Kinds of attestations and their labels.
_ATTESTATIONS = {"provenance": "Provenance", "sbom": "SBOM"}


def short_image(image_ref: str) -> str:
    """A shortened digest of a built image; other references unchanged."""
    head, mark, digest = image_ref.rpartition("sha256:")
    return f"{head}{mark}{digest[:DIGEST_CHARS]}" if mark and head in ("", _ENGINE) else image_ref


def image_rows(image_name: str, image_ref: str, platform: str) -> list[tuple[str, str]]:
    """Label and value of each known fact of an image that was built.

    Args:
        image_name: repository and tag, "" if unknown.
        image_ref: "" after the image was deleted.
        platform: "" if unknown.
    """
    if not image_ref:
        digest = ("Digest", "the image was deleted")
    elif image_ref.startswith(_ENGINE):
        digest = ("Image id", image_ref.removeprefix(_ENGINE))
    else:
        digest = ("Digest", image_ref.rpartition("@")[2])
    return [(label, value) for label, value in (("Image", image_name), digest, ("Platform", platform)) if value]


def attestation_rows(attached: Sequence[str]) -> list[tuple[str, str]]:
    """Label and value for each kind of attestation, whether or not it is attached to an image."""
    labels = _ATTESTATIONS | {kind: kind for kind in attached if kind not in _ATTESTATIONS}
    return [(label, "attached" if kind in attached else "not attached") for kind, label in labels.items()]
