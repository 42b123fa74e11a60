"""What a release says about itself."""

from collections.abc import Sequence

from dev.releasing.repository import Change
from dev.releasing.tags import CLI, Tag

REGISTRY = "ghcr.io/sealift"
REPOSITORY = "https://github.com/sealift/sealift"
SIGNER = f"{REPOSITORY}/.github/workflows/sign-image.yaml"


def image(tag: Tag) -> str:
    """The image that a service's tag releases, by its tag in the registry."""
    return f"{REGISTRY}/{tag.name}:{tag.version}"


def change_list(changes: Sequence[Change], last: Tag | None) -> str:
    """The changes as a list in Markdown. A first release has no list: everything is new."""
    if last is None:
        return "First release."
    if not changes:
        return f"No change to its own code since {last}."
    return "\n".join([f"Since {last}:", "", *(f"* {change.subject} ({change.commit})" for change in changes)])


def text(tag: Tag, changes: Sequence[Change], last: Tag | None, digest: str = "") -> str:
    """The notes in Markdown; with the digest of the image they say how to pull and verify it."""
    parts = [change_list(changes, last)]
    if tag.name == CLI:
        parts.append(f"```sh\npip install sealift=={tag.version.number}\n```")
        parts.append("`SHA256SUMS` has the checksums of the files below; they are the files of the package index.")
    elif digest:
        pinned = f"{REGISTRY}/{tag.name}@{digest}"
        parts.append(f"Image for linux/amd64 and linux/arm64: `{image(tag)}`, `{digest}`")
        parts.append(
            "```sh\n"
            f"cosign verify {pinned} \\\n"
            "  --certificate-oidc-issuer https://token.actions.githubusercontent.com \\\n"
            f"  --certificate-identity {SIGNER}@refs/tags/{tag}\n"
            f"gh attestation verify oci://{pinned} --owner sealift\n"
            "```"
        )
    return "\n\n".join(parts) + "\n"
