"""How builds fail, with every builder: the kinds, the two errors, and the text for users while the builder is away."""

from enum import StrEnum
from http import HTTPStatus

from pkg.errors import SealiftError, Unavailable


class FailureKind(StrEnum):
    """Why a build failed. The values are error codes after "build.", and are journaled: they never change."""

    COMMAND_FAILED = "command_failed"
    DOCKERFILE_MISSING = "dockerfile_missing"
    DOCKERFILE_INVALID = "dockerfile_invalid"
    TARGET_MISSING = "target_missing"
    FILE_MISSING = "file_missing"
    BASE_IMAGE = "base_image"
    REGISTRY_AUTH = "registry_auth"
    SECRET_MISSING = "secret_missing"  # noqa: S105
    FETCH_FAILED = "fetch_failed"
    PLATFORM = "platform"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"
    # The builder is at fault; another attempt may succeed.
    CONTEXT_UNAVAILABLE = "context_unavailable"
    DISK_FULL = "disk_full"
    BUILDER_LOST = "builder_lost"

    @property
    def is_ours(self) -> bool:
        """Whether the builder is at fault and not what was built."""
        return self in (FailureKind.CONTEXT_UNAVAILABLE, FailureKind.DISK_FULL, FailureKind.BUILDER_LOST)


class BuildFailed(SealiftError):  # noqa: N818
    """What was to be built cannot be built; trying again does not help. Code `build.<kind>`.

    Attributes:
        kind: why.
        exit_code: of the command that failed, when one did.
        line: of the Dockerfile, from 1, when known.
    """

    grpc_status = "FAILED_PRECONDITION"
    http_status = HTTPStatus.BAD_REQUEST

    def __init__(
        self, kind: FailureKind, message: str, *, exit_code: int | None = None, line: int | None = None
    ) -> None:
        known = {"exit_code": exit_code, "line": line}
        super().__init__(f"build.{kind}", message, metadata={k: str(v) for k, v in known.items() if v is not None})
        self.kind = kind
        self.exit_code = exit_code
        self.line = line


class BuilderUnavailable(Unavailable):
    """The builder is away or lost the build, or could not read its context; another attempt may succeed.

    Code `build.<kind>`.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(f"build.{kind}", message)
        self.kind = kind


# What the operator looks at. The builder's own message is in the build log, not here: this text is journaled.
_AWAY = {
    FailureKind.BUILDER_LOST: "the connection to it was lost. Is {builder} running?",
    FailureKind.CONTEXT_UNAVAILABLE: "it could not fetch the build context from the api. Is the api running?",
    FailureKind.DISK_FULL: "its disk is full. Free space there.",
}
_AWAY_FOR_ANOTHER_REASON = "is {builder} running, and is its disk full?"


def away_message(kind: str, builder: str, attempts: int) -> str:
    """For users: the builder was unavailable `attempts` times in a row, why the last time, and what to do.

    `kind` is the value of a FailureKind, also of one that this version does not know; `builder` is `Builder.name`.
    """
    why = next((text for known, text in _AWAY.items() if known == kind), _AWAY_FOR_ANOTHER_REASON)
    return (
        f"The builder was unavailable {attempts} times in a row: {why.format(builder=builder)} "
        "Its own messages are in the build log. Deploy again when the builder is healthy."
    )
