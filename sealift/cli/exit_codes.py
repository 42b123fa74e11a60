"""Exit codes: the verdict of a command, for scripts and CI."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    AUTH = 3
    BUILD_FAILED = 4
    NOT_HEALTHY = 5
    STOPPED = 6
    UNREACHABLE = 7
    OUTPUT = 8
    NOT_LIVE = 9
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done; after deploy, promote, rollback: the version is live",
    ExitCode.FAILED: "failed, for a reason without a code of its own",
    ExitCode.USAGE: "wrong usage: option, file, or build context",
    ExitCode.AUTH: "no key, a wrong key, or a key that may not do this",
    ExitCode.BUILD_FAILED: "the build failed",
    ExitCode.NOT_HEALTHY: "the app did not become healthy, or --wait-timeout passed",
    ExitCode.STOPPED: "the deployment was cancelled or superseded",
    ExitCode.UNREACHABLE: "the server can't be reached",
    ExitCode.OUTPUT: "stdout can't be written (full, closed); what was asked for may be done",
    ExitCode.NOT_LIVE: "the deployment is ready, but not live: rolled back, or a newer one is live",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, SIGTERM); a deployment that was created goes on",
}
EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:>3}  {MEANINGS[code]}" for code in ExitCode)
