"""A client of BuildKit's control API, for any BuildKit: a Docker engine's own, a buildkitd, a rented machine.

A build is: a channel (`channel`), a session by which the daemon asks back for credentials and secrets (`session`), a
solve followed by its status (`solver`), whose messages become steps and lines (`status`, `lines`), everything redacted
(`pkg.output`). What fails is a `SolveError` (`errors`) with a kind, words for the user, the Dockerfile's line and the
exit code. Losing the connection ends the build at the daemon: there is nothing to resume, only another attempt.
"""

from pkg.buildkit.channel import ChannelLostError, engine_channel, mtls_channel, unix_channel, wait_ready
from pkg.buildkit.errors import SolveError
from pkg.buildkit.failure_kinds import FailureKind
from pkg.buildkit.session import open_session
from pkg.buildkit.solver import Solve, solve
from pkg.output.redact import Redactor

__all__ = [
    "ChannelLostError",
    "FailureKind",
    "Redactor",
    "Solve",
    "SolveError",
    "engine_channel",
    "mtls_channel",
    "open_session",
    "solve",
    "unix_channel",
    "wait_ready",
]
