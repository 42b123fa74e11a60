"""Why a build context is refused."""

from http import HTTPStatus

from pkg.errors import SealiftError


class ContextRejected(SealiftError):  # noqa: N818
    """The archive is at fault; another upload may be better. Codes `context.*`."""

    grpc_status = "INVALID_ARGUMENT"
    http_status = HTTPStatus.BAD_REQUEST

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"context.{code}", message, field="build_context_path")


def quoted(name: str) -> str:
    """A name from an archive, safe to print: escaped, at most some 120 characters."""
    text = ascii(name) if any(not c.isprintable() for c in name) else f"{name!r}"
    return text if len(text) <= 120 else f"{text[:100]}...{text[-15:]}"
