"""Exit codes of commands."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of a command."""

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
    ExitCode.OK: "success; for deploy, promote, rollback: the version is live; for build: the image exists",
    ExitCode.FAILED: "failure without a code of its own",
    ExitCode.USAGE: "invalid option, file, or build context",
    ExitCode.AUTH: "no key, an invalid key, or a key without permission",
    ExitCode.BUILD_FAILED: "the build failed",
    ExitCode.NOT_HEALTHY: "the app did not become healthy, or --wait-timeout passed",
    ExitCode.STOPPED: "the deployment or build was cancelled, or superseded",
    ExitCode.UNREACHABLE: "the server can't be reached",
    ExitCode.OUTPUT: "stdout can't be written (full, closed); the action may be done",
    ExitCode.NOT_LIVE: "the deployment is ready but not live: rolled back or stopped meanwhile, or a newer one is live",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, SIGTERM); a recorded deployment or build continues",
}
EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:>3}  {MEANINGS[code]}" for code in ExitCode)
