"""Tells which kind of failure a daemon's message describes. Pure."""

import re

from pkg.builds.failures import FailureKind

# The first pattern found names the kind. Texts of Docker 20.10, 26, 28 and BuildKit 0.32.
_PATTERNS: tuple[tuple[FailureKind, str], ...] = (
    # first, and anchored: this message quotes the command, which may contain any of the texts below
    (
        FailureKind.COMMAND_FAILED,
        r"(executor failed running \[|process \").*: exit code: \d+(: context canceled)?$|failed with exit code",
    ),
    # a snapshot of an earlier step that the builder lost, as after a build that was cut off (seen with Docker 20.10)
    (FailureKind.BUILDER_LOST, r"failed to prepare \w+: .*/overlay2/\w+/committed: no such file"),
    (FailureKind.DISK_FULL, r"no space left on device|disk quota exceeded"),
    (FailureKind.BUILDER_LOST, r"no active session|context deadline exceeded|session \S+ not found"),
    (FailureKind.DOCKERFILE_MISSING, r"failed to read dockerfile"),
    (
        FailureKind.DOCKERFILE_INVALID,
        r"dockerfile parse error|Dockerfile.* cannot be empty|file with no instructions|no build stage"
        r"|unknown instruction|unknown flag: |base name .*should not be blank|failed to parse stage name"
        r"|unterminated heredoc|invalid stage index|invalid user index|/etc/(?:passwd|group): no such file"
        r"|(network\.host|security\.insecure) is not allowed",
    ),
    (FailureKind.FETCH_FAILED, r"unknown scheme git"),
    (FailureKind.TARGET_MISSING, r"target stage .* could not be found"),
    (FailureKind.SECRET_MISSING, r"secret \S+ ?not found|failed to (get|load) secret"),
    (FailureKind.COMMAND_FAILED, r"did not complete successfully|executor failed running"),
    (FailureKind.PLATFORM, r"failed to parse (target )?platform|platform specifier"),
    (FailureKind.CONTEXT_UNAVAILABLE, r"invalid response status \d{3}"),
    (
        FailureKind.FILE_MISSING,
        r"failed to calculate checksum|failed to compute cache key|\"/?[^\"]*\": not found|no such file or directory",
    ),
    (
        FailureKind.REGISTRY_AUTH,
        r"pull access denied|401 Unauthorized|unauthorized: |authorization failed|insufficient_scope",
    ),
    (FailureKind.PLATFORM, r"no match for platform|exec format error|unknown operating system or architecture"),
    (
        FailureKind.BASE_IMAGE,
        r"pulling from host \S+ failed with status code"
        r"|toomanyrequests|429 Too Many Requests|failed to resolve source metadata|failed to do request"
        r"|manifest unknown"
        r"|failed to resolve reference|invalid reference format|docker\.io/|failed to load cache key: .*registry",
    ),
    (FailureKind.CONTEXT_UNAVAILABLE, r"failed to load cache key: .*(refused|timeout|EOF|reset|no such host)"),
    (
        FailureKind.DOCKERFILE_INVALID,
        r"failed to create LLB definition|failed to parse|requires (at least|exactly) |syntax error",
    ),
)
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for kind, pattern in _PATTERNS)


def classify(text: str, *, failed_step: str = "") -> FailureKind:
    """The kind of failure that a daemon's message describes.

    `failed_step` distinguishes a download of the Dockerfile (ADD https://...) from that of the context, which the user
    can't repair.
    """
    kind = next((kind for kind, pattern in _COMPILED if pattern.search(text)), FailureKind.UNKNOWN)
    if kind is FailureKind.CONTEXT_UNAVAILABLE and failed_step and "remote build context" not in failed_step:
        return FailureKind.FETCH_FAILED
    return kind
