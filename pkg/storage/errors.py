"""Errors that every store raises in the same words."""

from pkg.errors import InvalidArgument, NotFound


def not_found(path: str) -> NotFound:
    """The error for a missing object."""
    return NotFound("object.not_found", f"there is no object {path}: it was never uploaded, or it has been cleaned up")


def check_content(stored_bytes: int, stored_sha256: str, *, size_bytes: int, sha256: str) -> None:
    """Compares what came with what was announced.

    Raises:
        InvalidArgument: `object.size_mismatch` or `object.sha256_mismatch`.
    """
    if stored_bytes != size_bytes:
        raise InvalidArgument(
            "size_bytes",
            f"{size_bytes} were announced and {stored_bytes} came. Upload it again",
            code="object.size_mismatch",
        )
    if stored_sha256 != sha256:
        raise InvalidArgument(
            "sha256",
            f"{sha256} was announced and that of what came is {stored_sha256}: the file changed while it was sent, or"
            " was damaged on the way. Upload it again",
            code="object.sha256_mismatch",
        )
