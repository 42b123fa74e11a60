"""A client of BuildKit's control API, for any BuildKit: a Docker engine's own, a buildkitd, a rented machine.

A build is: a channel (`channel`), a session by which the daemon asks back for credentials and secrets (`session`), a
solve (`solver`) followed by its status (`follow`), whose messages become steps and lines (`status`, `log_lines`),
everything redacted (`pkg.output`). What fails is a `SolveError` (`errors`) with a kind (`classification`), a message
for the user (`messages`, `remedies`), the Dockerfile's line and the exit code. Losing the connection ends the build at
the daemon: there is nothing to resume, only another attempt.
"""

from pkg.buildkit.channel import (
    CertificateError,
    ChannelLostError,
    engine_channel,
    mtls_channel,
    unix_channel,
    wait_ready,
)
from pkg.buildkit.errors import NotBegunError, SolveError
from pkg.buildkit.features import Features, features
from pkg.buildkit.session import open_session, session_context
from pkg.buildkit.solver import Solve, solve
from pkg.builds.failures import FailureKind
from pkg.output.redact import Redactor

__all__ = [
    "CertificateError",
    "ChannelLostError",
    "FailureKind",
    "Features",
    "NotBegunError",
    "Redactor",
    "Solve",
    "SolveError",
    "engine_channel",
    "features",
    "mtls_channel",
    "open_session",
    "session_context",
    "solve",
    "unix_channel",
    "wait_ready",
]
