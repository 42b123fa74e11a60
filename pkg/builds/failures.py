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
    DISK_LIMIT = "disk_limit"
    PIDS_LIMIT = "pids_limit"
    ISOLATION = "isolation"
    TIMED_OUT = "timed_out"
    # What the operator of the builder has to set right: another attempt fails, too.
    BUILDER_AUTH = "builder_auth"
    BUILDER_NOT_FOUND = "builder_not_found"
    BUILDER_QUOTA = "builder_quota"
    UNKNOWN = "unknown"
    # The image was built, and the registry does not take it.
    PUSH_UNAUTHORIZED = "push_unauthorized"
    PUSH_DENIED = "push_denied"
    PUSH_NO_REPOSITORY = "push_no_repository"
    PUSH_TOO_LARGE = "push_too_large"
    PUSH_UNTRUSTED = "push_untrusted"
    PUSH_FAILED = "push_failed"
    # The registry is at fault; another attempt may succeed.
    PUSH_RATE_LIMITED = "push_rate_limited"
    PUSH_REGISTRY_AWAY = "push_registry_away"
    PUSH_REGISTRY_FULL = "push_registry_full"
    # The builder is at fault; another attempt may succeed.
    CONTEXT_UNAVAILABLE = "context_unavailable"
    DISK_FULL = "disk_full"
    BUILDER_LOST = "builder_lost"

    @property
    def is_ours(self) -> bool:
        """Whether the builder or the registry is at fault and not what was built: another attempt may succeed."""
        return self in _AWAY


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
    FailureKind.PUSH_RATE_LIMITED: "it limits how often it may be asked (429).",
    FailureKind.PUSH_REGISTRY_AWAY: "it can't be reached, or has a fault of its own. Is it running?",
    FailureKind.PUSH_REGISTRY_FULL: "its disk is full, or a quota is used up. Free space there, or raise the quota.",
}
_AWAY_FOR_ANOTHER_REASON = "is {builder} running, and is its disk full?"


def away_code(kind: str) -> str:
    """The error code of a build whose last attempt found the builder or the registry away, for the reason `kind`."""
    return f"build.{kind}" if _is_push(kind) else "build.builder_unavailable"


def away_message(kind: str, builder: str, attempts: int) -> str:
    """For users: what was unavailable `attempts` times in a row, why the last time, and what to do.

    `kind` is the value of a FailureKind, also of one that this version does not know; `builder` is `Builder.name`.
    """
    why = next((text for known, text in _AWAY.items() if known == kind), _AWAY_FOR_ANOTHER_REASON)
    if _is_push(kind):
        return (
            f"The image was built, but the registry did not take it {attempts} times in a row: {why} "
            "Its own messages are in the build log. Try again when the registry works."
        )
    return (
        f"The builder was unavailable {attempts} times in a row: {why.format(builder=builder)} "
        "Its own messages are in the build log. Try again when the builder is healthy."
    )


def _is_push(kind: str) -> bool:
    return kind.startswith("push_") and any(known == kind for known in _AWAY)
