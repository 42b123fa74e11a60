"""Dockerfiles with mistakes that public issue trackers are full of, and what users of every builder have to read."""

from dataclasses import dataclass

from pkg.builders.testing import SHELL
from pkg.builds.failures import FailureKind


@dataclass(frozen=True, slots=True)
class Mistake:
    """A Dockerfile, the kind of its failure, and words that are in the message."""

    dockerfile: str
    kind: FailureKind
    words: str


MISTAKES = {
    # https://github.com/docker/cli/issues/2496
    "mistyped stage": Mistake(
        f"{SHELL}COPY --from=biulder /x /y\n",
        FailureKind.BASE_IMAGE,
        "If 'biulder' is to be a stage of this Dockerfile: none has that name",
    ),
    "stage by number": Mistake(
        f"{SHELL}COPY --from=5 /x /y\n", FailureKind.DOCKERFILE_INVALID, "Count the stages from 0, or name them"
    ),
    # https://github.com/NodeBB/NodeBB/issues/12256
    "platform without a value": Mistake(
        f"ARG BUILDPLATFORM\n{SHELL.replace('scratch', '--platform=$BUILDPLATFORM scratch')}",
        FailureKind.PLATFORM,
        "an ARG of that name before the first FROM takes it away",
    ),
    # https://github.com/mozilla/addons-server/issues/12366
    "unknown user": Mistake(f"{SHELL}USER nosuch\nRUN id\n", FailureKind.COMMAND_FAILED, "unable to find user nosuch"),
    # https://github.com/caprover/caprover/issues/1000
    "capitals": Mistake("FROM 127.0.0.1:9/Apps/X\n", FailureKind.DOCKERFILE_INVALID, "in lower case"),
    # https://github.com/moby/moby/issues/31044
    "no shell": Mistake(
        "FROM scratch\nCOPY busybox /b\nRUN echo hi\n",
        FailureKind.COMMAND_FAILED,
        "The image has no /bin/sh",
    ),
    "no program": Mistake(
        f'{SHELL}RUN ["/nosuch"]\n', FailureKind.COMMAND_FAILED, "A program of it is not in the image"
    ),
}
